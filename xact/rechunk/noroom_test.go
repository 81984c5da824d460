package rechunk

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs/faultfs"
)

// TestRechunkOnAFullDisk: whatever call finds no space in the midst of it, the job ends with
// that error; every object is whole, in chunks or not, and the same again, when there is
// room, does the rest.
func TestRechunkOnAFullDisk(t *testing.T) {
	t.Parallel()
	const args = `{"rechunk":{"objsize-limit":5000,"chunk-size":2000}}`
	const all = "a-5:3 a-6:3 a-7:4 a-8:4 a-9:5 b-5:3 b-6:3 b-7:4 b-8:4 b-9:5"
	for _, op := range []faultfs.Op{faultfs.OpCreate, faultfs.OpWrite, faultfs.OpSetXattr, faultfs.OpRename} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			disk := faultfs.New(nil)
			disk.Record(false)
			r, _ := rigOn(t, disk, nil, nil)
			disk.Inject(faultfs.Fault{Op: op, Path: "/@ais/", Nth: 15, Times: -1, Err: unix.ENOSPC})
			s := run(t, r, args)
			disk.Heal()
			done := chunked(t, r)
			if !s.Aborted || !strings.Contains(s.Error+s.AbortError, "out of space") || done == all {
				t.Errorf("%s; %+v", done, s)
			}
			for _, object := range strings.Fields(all) {
				name, _, _ := strings.Cut(object, ":")
				if err := r.Store.Verify(t.Context(), r.Key(name)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if s := run(t, r, args); s.Aborted || s.Error != "" || chunked(t, r) != all {
				t.Errorf("again: %s; %+v", chunked(t, r), s)
			}
		})
	}
}
