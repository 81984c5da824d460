package fs_test

import (
	"testing"
	"time"

	"github.com/aistore-go/aistore/fs"
)

// TestDiskThatHangsIsDisabled: one that does not answer for long is taken out of use,
// although nothing of it has failed.
func TestDiskThatHangsIsDisabled(t *testing.T) {
	t.Parallel()
	d := newDisks(t, 2)
	opts := d.watched(&clock{})
	opts.HangTime = 40 * time.Millisecond
	m := openWithBucket(t, opts)
	mp := m.Available().ByPath(d.paths[0])
	ticket, err := mp.Enter() // an operation that never ends
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the mountpath is disabled", func() bool { return m.Available().ByPath(mp.Path) == nil })
	found := false
	for _, info := range m.Mountpaths() {
		found = found || info.Path == mp.Path && info.State == fs.StateDisabled && info.Fault != ""
	}
	if !found {
		t.Errorf("%+v", m.Mountpaths())
	}
	mp.Leave(ticket)
}
