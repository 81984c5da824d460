package core

import (
	"fmt"
	"math"
	"strings"
)

// inFlight is the end of an operation that had not returned when the machine
// went down.
const inFlight = math.MaxInt

// crashVersion is what one operation wanted a name to hold.
type crashVersion struct {
	id      int  // of the operation: the content tells it
	absent  bool // a removal, or the state at first
	size    int
	large   bool // custom metadata that needs a sidecar
	start   int  // moments at which the operation was begun and had returned
	end     int
	acked   bool
	durable bool   // it was to be acknowledged only when it is on stable storage
	version string // as answered
	broken  bool   // chunks or the list of them are damaged: every read fails, until it is replaced
	fixed   bool   // it holds text and customs, whatever the operation's number
	text    string
	customs []KV
	aside   bool // absent, because what was damaged went to quarantine, which need not be durable
}

func (v *crashVersion) String() string {
	state := "failed"
	switch {
	case v.end == inFlight:
		state = "in flight"
	case v.acked && v.durable:
		state = "acknowledged"
	case v.acked:
		state = "acknowledged, not durable"
	}
	if v.absent {
		return fmt.Sprintf("absent (operation %d, %s)", v.id, state)
	}
	return fmt.Sprintf("%d bytes (operation %d, %s)", v.size, v.id, state)
}

// content is what the operation writes: it begins with the operation's number
// and no part of it looks like another one's.
func (v *crashVersion) content() string {
	if v.fixed {
		return v.text
	}
	head := fmt.Sprintf("[%d]", v.id)
	if v.size <= len(head) {
		return head[:v.size]
	}
	return strings.Repeat(head, v.size/len(head)+1)[:v.size]
}

func (v *crashVersion) custom() []KV {
	if v.fixed {
		return v.customs
	}
	if !v.large {
		return nil
	}
	return []KV{{"k", strings.Repeat(fmt.Sprintf("v%d.", v.id), 500)}}
}

// crashModel is what is known of each name: everything that it may hold.
type crashModel struct {
	now   int
	names map[string][]*crashVersion
	kept  map[string][]keptVersion
}

// keptVersion is an acknowledged version that is there for good.
type keptVersion struct {
	id string
	*crashVersion
}

func newCrashModel() *crashModel {
	return &crashModel{names: make(map[string][]*crashVersion), kept: make(map[string][]keptVersion)}
}

// tick is the next moment.
func (m *crashModel) tick() int {
	m.now++
	return m.now
}

// begin notes an operation on a name.
func (m *crashModel) begin(name string, v *crashVersion) *crashVersion {
	v.start, v.end = m.tick(), inFlight
	m.names[name] = append(m.versions(name), v)
	return v
}

func (m *crashModel) versions(name string) []*crashVersion {
	if versions := m.names[name]; versions != nil {
		return versions
	}
	return []*crashVersion{{absent: true, acked: true, durable: true}}
}

// possible returns what a name may hold. powerless: what was acknowledged
// before it was on stable storage may be lost, and damaged.
func (m *crashModel) possible(name string, powerless bool) (possible []*crashVersion, damaged bool) {
	versions := m.versions(name)
	for _, v := range versions {
		superseded := false
		for _, w := range versions {
			if w.acked && (w.durable || !powerless) && w.start > v.end {
				superseded = true
			}
		}
		if !superseded {
			possible = append(possible, v)
			damaged = damaged || powerless && !v.durable || v.broken
		}
	}
	return possible, damaged
}

// only returns what a name holds, nil if that is not known.
func (m *crashModel) only(name string) *crashVersion {
	if possible, _ := m.possible(name, false); len(possible) == 1 {
		return possible[0]
	}
	return nil
}

// settle notes what was found, once it is on stable storage.
func (m *crashModel) settle(name string, found *crashVersion) {
	known := *found
	known.start, known.end, known.acked, known.durable = 0, 0, true, !found.aside
	m.names[name] = []*crashVersion{&known}
}

// looksLike tells that nobody can tell two versions apart.
func (m *crashModel) looksLike(a, b *crashVersion) bool {
	return a.absent == b.absent && a.content() == b.content()
}
