package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Live is the configuration in force on a running node: the cluster's, with
// what the node overrides, for good and until its next start. All methods are
// safe for concurrent use; Config neither blocks nor locks.
type Live struct {
	keep func(*Override) error
	warn func(string)

	mu        sync.Mutex // of all below, and around keep
	cluster   *Cluster
	kept      *Override
	transient *Override // wins over kept
	watchers  []func(*Cluster)

	conf    atomic.Pointer[Cluster]
	changed atomic.Pointer[chan struct{}] // closed by the next change
}

// LiveOptions are the parts of a Live.
type LiveOptions struct {
	Cluster   *Cluster  // valid
	Kept      *Override // of earlier starts; nil: none
	Transient *Override // nil: none
	// Keep stores the override for the next start, durably, before it is in
	// force; an empty one is to be forgotten. nil: nothing is kept.
	Keep func(*Override) error
	// Warn is told what of an override does not fit the cluster's
	// configuration and is set aside. It may be nil and must not call back.
	Warn func(string)
}

// NewLive puts a configuration into force.
func NewLive(o LiveOptions) *Live {
	l := &Live{keep: o.Keep, warn: o.Warn, cluster: o.Cluster, kept: o.Kept, transient: o.Transient}
	if l.keep == nil {
		l.keep = func(*Override) error { return nil }
	}
	if l.warn == nil {
		l.warn = func(string) {}
	}
	if l.kept == nil {
		l.kept = &Override{}
	}
	if l.transient == nil {
		l.transient = &Override{}
	}
	changed := make(chan struct{})
	l.changed.Store(&changed)
	l.publish()
	return l
}

// Config is the configuration in force. It is immutable.
func (l *Live) Config() *Cluster { return l.conf.Load() }

// Changed returns a channel that is closed when another configuration than
// that of the moment is in force. Ask for the channel first, then for Config.
func (l *Live) Changed() <-chan struct{} { return *l.changed.Load() }

// Watch calls f with the configuration in force, now and after every change,
// one call at a time. f must not call back.
func (l *Live) Watch(f func(*Cluster)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers = append(l.watchers, f)
	f(l.Config())
}

// SetCluster puts another configuration of the cluster into force.
func (l *Live) SetCluster(c *Cluster) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cluster = c
	l.publish()
}

// Change overrides keys on this node: for good, or transiently, in memory. The
// changes are checked for that scope, and by what is in force. All are made,
// and kept, when it returns, or none. Of a key that was overridden transiently
// the new value counts in any case.
func (l *Live) Change(c *Changes, transient bool) error {
	if err := c.Check(Scope{Node: true, Transient: transient}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := c.Apply(l.Config()); err != nil {
		return err
	}
	override := c.Override()
	if transient {
		next := l.transient.Clone()
		next.Merge(override)
		l.transient = next
		l.publish()
		return nil
	}
	next := l.kept.Clone()
	next.Merge(override)
	if err := l.keep(next); err != nil {
		return apierr.Wrap(err, 500, "", "the node override cannot be stored, nothing has changed")
	}
	l.kept, l.transient = next, l.transient.Without(override)
	l.publish()
	return nil
}

// Reset drops all overrides of this node.
func (l *Live) Reset() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.keep(&Override{}); err != nil {
		return apierr.Wrap(err, 500, "", "the node override cannot be removed, nothing has changed")
	}
	l.kept, l.transient = &Override{}, &Override{}
	l.publish()
	return nil
}

// publish makes the configuration in force of its parts.
func (l *Live) publish() {
	all := l.kept.Clone()
	all.Merge(l.transient)
	conf, aside := all.Fit(l.cluster)
	for _, warning := range aside {
		l.warn(warning)
	}
	l.conf.Store(conf)
	for _, f := range l.watchers {
		f(conf)
	}
	next := make(chan struct{})
	close(*l.changed.Swap(&next))
}

// Fit is Apply for an override that was made for an earlier configuration of
// the cluster: sections of it that contradict this one, or ask for what is not
// built, are set aside, each with a sentence that says why. The result is
// valid if the cluster's configuration is.
func (o *Override) Fit(c *Cluster) (effective *Cluster, aside []string) {
	if len(o.values) == 0 {
		return c, nil
	}
	whole, err := o.Apply(c)
	if err == nil {
		return whole, nil
	}
	waiting := map[string]*Override{}
	for key, value := range o.values {
		section, _, _ := strings.Cut(key, ".")
		if waiting[section] == nil {
			waiting[section] = &Override{values: map[string]string{}}
		}
		waiting[section].values[key] = value
	}
	effective = c
	// One section may need another one: begin again after each that fits.
	for {
		reasons, progress := []string{}, false
		for _, section := range slices.Sorted(maps.Keys(waiting)) {
			next, err := waiting[section].Apply(effective)
			if err != nil {
				reasons = append(reasons, fmt.Sprintf("the override of section %q does not fit the cluster's configuration and is set aside: %v", section, err))
				continue
			}
			effective, progress = next, true
			delete(waiting, section)
		}
		if !progress {
			return effective, reasons
		}
	}
}
