package core

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// stagingSlices is the port Slices of a target whose slices are always made.
type stagingSlices struct {
	t      *testing.T
	mu     sync.Mutex
	staged map[Stamp]string // contents, by generation
	turns  int              // that were not ended
	before func()           // called by Stage
}

func newStagingSlices(t *testing.T) *stagingSlices {
	return &stagingSlices{t: t, staged: map[Stamp]string{}}
}

func (s *stagingSlices) has(stamp Stamp, content string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.staged[stamp] == content
}

func (s *stagingSlices) Restore(_ context.Context, key Key) error {
	return apierr.ObjectNotFound(key.Cname())
}
func (s *stagingSlices) Committed(Key, Attrs) {}
func (s *stagingSlices) Read(_ context.Context, key Key, _ *Attrs, _, _ int64, _ io.Writer) error {
	return apierr.ObjectNotFound(key.Cname())
}
func (s *stagingSlices) Replaced(context.Context, Key, Stamp, bool, bool) (had bool, newer Stamp, err error) {
	return false, newer, nil
}
func (s *stagingSlices) Amended(context.Context, Key, Stamp, Attrs) error { return nil }

func (s *stagingSlices) Protect(_ context.Context, key Key, _ Attrs) error {
	s.t.Errorf("%s is protected after its commit", key.Cname())
	return nil
}

func (s *stagingSlices) BeginWrite(context.Context, Key) (Staging, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns++
	return &stagingTurn{s: s}, nil
}

type stagingTurn struct {
	s     *stagingSlices
	stamp Stamp
}

func (w *stagingTurn) Stage(_ context.Context, attrs *Attrs, content func() (io.ReadCloser, error)) (newer Stamp, err error) {
	if before := w.s.before; before != nil {
		w.s.before = nil
		before()
	}
	r, err := content()
	if err != nil {
		return newer, err
	}
	data, err := io.ReadAll(r)
	if closed := r.Close(); err == nil {
		err = closed
	}
	if err == nil && int64(len(data)) != attrs.Size {
		w.s.t.Errorf("%d bytes of %d are staged", len(data), attrs.Size)
	}
	w.End(true)
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.turns++
	if w.stamp = attrs.LastChange(); err == nil {
		w.s.staged[w.stamp] = string(data)
	}
	return newer, err
}

func (w *stagingTurn) Keep(context.Context) error { return nil }

func (w *stagingTurn) End(drop bool) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.turns--
	if drop {
		delete(w.s.staged, w.stamp)
	}
}

// stagedWrites are the writes of a client whose slices are made before the commit.
var stagedWrites = map[string]func(c *callCrash, content string) error{
	"put": func(c *callCrash, content string) error {
		_, err := c.store.Put(context.Background(), c.key("o"), strings.NewReader(content), PutOptions{Size: int64(len(content))})
		return err
	},
	"append": func(c *callCrash, content string) error {
		h, err := c.store.BeginAppend(context.Background(), c.key("o"), strings.NewReader(content[len("old"):]), int64(len(content)-len("old")), 0)
		if err == nil {
			_, err = c.store.FlushAppend(context.Background(), c.key("o"), h, cksum.Value{})
		}
		return err
	},
	"upload": func(c *callCrash, content string) error {
		id, err := c.store.CreateUpload(context.Background(), c.key("o"), CreateOptions{})
		var parts []CompletePart
		for i := 0; i < 2 && err == nil; i++ {
			part := content[i*len(content)/2 : (i+1)*len(content)/2]
			_, err = c.store.PutPart(context.Background(), c.key("o"), id, i+1, strings.NewReader(part), PartOptions{Size: int64(len(part))})
			parts = append(parts, CompletePart{Number: i + 1})
		}
		if err == nil {
			_, err = c.store.CompleteUpload(context.Background(), c.key("o"), id, CompleteOptions{Listed: true, Parts: parts})
		}
		return err
	},
}

// TestStagedBeforeCommitted: with durability "redundant" the power fails, or a system call,
// at every call of a write. Whatever can be read then has all its slices staged, and those of what cannot be
// were dropped, unless that is not certain.
func TestStagedBeforeCommitted(t *testing.T) {
	t.Parallel()
	for name, write := range stagedWrites {
		for _, content := range []string{"old and new", "old and " + strings.Repeat("larger ", 60_000)} {
			for _, power := range []bool{false, true} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					step := 1
					if testing.Short() {
						step = 3
					}
					n := 1
					for stagedThenFails(t, write, content, power, n) {
						n += step
					}
					if n < 10 {
						t.Errorf("the write makes no more than %d calls", n)
					}
				})
			}
		}
	}
}

// stagedThenFails has the call with a number fail, or the power before it; false: there are
// fewer calls.
func stagedThenFails(t *testing.T, write func(*callCrash, string) error, content string, power bool, n int) (reached bool) {
	c := newCallCrash(t)
	c.props.EC.Enabled, c.props.EC.DataSlices, c.props.EC.ParitySlices = true, 2, 2
	slices := newStagingSlices(t)
	c.store.UseSlices(slices)
	if err := stagedWrites["put"](c, "old"); err != nil {
		t.Fatal(err)
	}
	c.props.Durability = meta.DurabilityRedundant
	if _, err := c.store.Head(context.Background(), c.key("o")); err != nil {
		t.Fatal(err)
	}
	calls := 0
	var after *crashfs.System
	var stagedThen map[Stamp]string
	c.system.Before(func(faultfs.Call) error {
		if calls++; calls != n {
			return nil
		}
		if !power {
			reached = true
			return unix.EIO
		}
		after = c.system.Crash(uint64(n))
		slices.mu.Lock()
		defer slices.mu.Unlock()
		stagedThen = map[Stamp]string{}
		for stamp, content := range slices.staged {
			stagedThen[stamp] = content
		}
		return nil
	})
	err := write(c, content)
	c.system.Before(nil)
	if slices.turns != 0 {
		t.Errorf("call %d: %d turns were not ended", n, slices.turns)
	}
	if power {
		if reached = after != nil; !reached {
			after, stagedThen = c.system.Crash(1), slices.staged
		}
		c.close()
		c.system = after
		c.open()
		slices.staged = stagedThen
	}
	defer c.close()
	r, openErr := c.store.Open(context.Background(), c.key("o"))
	if openErr != nil {
		t.Fatalf("call %d: %v", n, openErr)
	}
	data, readErr := readWhole(r)
	got := string(data)
	stamp := r.LastChange()
	if closed := r.Close(); readErr != nil || closed != nil {
		t.Fatalf("call %d: %v, %v", n, readErr, closed)
	}
	switch {
	case got != "old" && got != content, err == nil && got != content && !(power && reached):
		t.Errorf("call %d: %.20q after %v", n, got, err)
	case got == content && !slices.has(stamp, content):
		t.Errorf("call %d: what is read has no slices (%v)", n, err)
	}
	return reached
}

// TestStagedAnew: an object is deleted while slices are made of what is to replace it. They are
// made again, with a greater stamp.
func TestStagedAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{props: func(p *meta.Bprops) {
		p.Durability = meta.DurabilityRedundant
		p.EC.Enabled, p.EC.DataSlices, p.EC.ParitySlices = true, 2, 2
	}})
	slices := newStagingSlices(t)
	r.store.UseSlices(slices)
	was := r.put("o", "old")
	var deleted Stamp
	slices.before = func() {
		if err := r.store.Delete(context.Background(), r.key("o")); err != nil {
			t.Error(err)
		}
		deleted = r.store.stamp(was.LastChange())
	}
	now := r.put("o", "new content")
	if now.LastChange().Compare(deleted) < 0 || now.Version != "1" {
		t.Errorf("stamp and version are those of an overwrite, not of a new object: %+v", now)
	}
	if len(slices.staged) != 2 || !slices.has(now.LastChange(), "new content") || slices.turns != 0 {
		t.Errorf("%d generations are staged, %d turns", len(slices.staged), slices.turns)
	}
}
