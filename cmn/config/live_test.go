package config_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
)

// shelf keeps an override for the next start.
type shelf struct {
	kept string
	fail error
}

func (s *shelf) keep(o *config.Override) error {
	if s.fail != nil {
		return s.fail
	}
	data, err := json.Marshal(o)
	s.kept = string(data)
	return err
}

// restart is a node that is started with what was kept.
func (s *shelf) restart(t *testing.T) *config.Live {
	t.Helper()
	kept := &config.Override{}
	if s.kept != "" {
		var err error
		if kept, _, err = config.ParseOverride([]byte(s.kept)); err != nil {
			t.Fatal(err)
		}
	}
	return config.NewLive(config.LiveOptions{Cluster: config.DefaultCluster(), Kept: kept, Keep: s.keep})
}

func TestLive(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	l := s.restart(t)
	must := func(query string, transient bool) {
		t.Helper()
		if err := l.Change(pairs(query), transient); err != nil {
			t.Fatal(err)
		}
	}
	must("disk.disk_util_low_wm=10&lru.enabled=true", false)
	must("log.level=5&lru.enabled=false", true)
	if c := l.Config(); c.Disk.UtilLowWM != 10 || c.LRU.Enabled || c.Log.Level != 5 {
		t.Errorf("%+v %+v %+v", c.Disk, c.LRU, c.Log)
	}
	if s.kept != `{"disk.disk_util_low_wm":"10","lru.enabled":"true"}` {
		t.Errorf("kept %s", s.kept)
	}
	// The cluster's changes show through where nothing is overridden.
	other := config.DefaultCluster()
	other.Disk.UtilHighWM, other.Log.MaxTotal = 85, 256<<20
	l.SetCluster(other)
	if c := l.Config(); c.Disk.UtilLowWM != 10 || c.Disk.UtilHighWM != 85 || c.Log.Level != 5 || c.Log.MaxTotal != 256<<20 {
		t.Errorf("%+v %+v", c.Disk, c.Log)
	}
	// A new value for good counts over a transient one.
	must("log.level=2", false)
	if c := l.Config(); c.Log.Level != 2 || c.LRU.Enabled {
		t.Errorf("%+v %+v", c.Log, c.LRU)
	}
	l = s.restart(t)
	if c := l.Config(); c.Log.Level != 2 || !c.LRU.Enabled || c.Disk.UtilLowWM != 10 {
		t.Errorf("after a restart: %+v %+v %+v", c.Log, c.LRU, c.Disk)
	}
	must("log.level=4", true)
	if err := l.Reset(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.DefaultCluster(), l.Config()); diff != "" || s.kept != "{}" {
		t.Errorf("after a reset: kept %s\n%s", s.kept, diff)
	}
}

func TestLiveIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	l := s.restart(t)
	for query, want := range map[string]string{
		"log.level=4&log.none=1":                     "unknown property",
		"log.level=4&disk.disk_util_low_wm=90":       "disk.disk_util_high_wm",
		"log.level=4&mirror.copies=3":                "globally",
		"log.level=4&rate_limit.backend.enabled=yes": "not built yet",
		"": "no properties to update",
	} {
		for _, transient := range []bool{false, true} {
			if err := l.Change(pairs(query), transient); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", query, err, want)
			}
		}
	}
	s.fail = errors.New("disk full")
	if err := l.Change(pairs("log.level=4"), false); apierr.StatusOf(err) != 500 || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("not stored: %v", err)
	}
	if err := l.Reset(); apierr.StatusOf(err) != 500 {
		t.Errorf("not removed: %v", err)
	}
	if diff := cmp.Diff(config.DefaultCluster(), l.Config()); diff != "" || s.kept != "" {
		t.Errorf("kept %q\n%s", s.kept, diff)
	}
}

// What was overridden under another configuration of the cluster is set aside
// section by section, and waits.
func TestLiveSetsAside(t *testing.T) {
	t.Parallel()
	var warnings []string
	kept, _, err := config.ParseOverride([]byte(`{"disk.disk_util_low_wm":"70","log.level":"4","timeout.max_keepalive":"30s","keepalivetracker.proxy.interval":"30s",
		"keepalivetracker.target.interval":"30s"}`))
	if err != nil {
		t.Fatal(err)
	}
	l := config.NewLive(config.LiveOptions{Cluster: config.DefaultCluster(), Kept: kept, Warn: func(w string) { warnings = append(warnings, w) }})
	if len(warnings) > 0 || l.Config().Disk.UtilLowWM != 70 {
		t.Fatalf("%q %+v", warnings, l.Config().Disk)
	}
	narrow := config.DefaultCluster()
	narrow.Disk.UtilHighWM = 60
	l.SetCluster(narrow)
	c := l.Config()
	if c.Disk.UtilLowWM != 20 || c.Log.Level != 4 || c.Timeout.MaxKeepalive.String() != "30s" || c.Keepalive.Proxy.Interval.String() != "30s" {
		t.Errorf("%+v %+v %+v", c.Disk, c.Log, c.Timeout)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], `"disk"`) || !strings.Contains(warnings[0], "disk.disk_util_high_wm") {
		t.Errorf("%q", warnings)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	// Another key can be changed meanwhile.
	if err := l.Change(pairs("log.level=5"), false); err != nil || l.Config().Log.Level != 5 || l.Config().Disk.UtilLowWM != 20 {
		t.Errorf("%v %+v", err, l.Config().Disk)
	}
	l.SetCluster(config.DefaultCluster())
	if l.Config().Disk.UtilLowWM != 70 {
		t.Errorf("it does not come back: %+v", l.Config().Disk)
	}
}

func TestLiveTells(t *testing.T) {
	t.Parallel()
	l := config.NewLive(config.LiveOptions{Cluster: config.DefaultCluster()})
	var levels []config.LogLevel
	l.Watch(func(c *config.Cluster) { levels = append(levels, c.Log.Level) })
	changed := l.Changed()
	if err := l.Change(pairs("log.level=4"), true); err != nil {
		t.Fatal(err)
	}
	<-changed
	select {
	case <-l.Changed():
		t.Error("told of a change that is not there")
	default:
	}
	if !slices.Equal(levels, []config.LogLevel{3, 4}) {
		t.Errorf("%v", levels)
	}
}

// Many at a time: no change is lost.
func TestLiveConcurrently(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	l := s.restart(t)
	var wg sync.WaitGroup
	for _, query := range []string{"log.level=4", "lru.enabled=true", "disk.disk_util_low_wm=10", "client.list_timeout=1m", "space.highwm=91"} {
		wg.Go(func() {
			if err := l.Change(pairs(query), false); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { l.SetCluster(config.DefaultCluster()) })
	}
	wg.Wait()
	for name, c := range map[string]*config.Cluster{"in force": l.Config(), "kept": s.restart(t).Config()} {
		if c.Log.Level != 4 || !c.LRU.Enabled || c.Disk.UtilLowWM != 10 || c.Client.ListTimeout.String() != "1m" || c.Space.HighWM != 91 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
