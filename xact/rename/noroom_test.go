package rename

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// TestRenameOnAFullDisk: whatever call finds no space in the midst of it, the job ends with
// that error, so that the old bucket stays; all objects of it are whole, what the new one
// has is whole, and the same again, when there is room, renames it.
func TestRenameOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, op := range []faultfs.Op{faultfs.OpCreate, faultfs.OpWrite, faultfs.OpSetXattr, faultfs.OpRename, faultfs.OpMkdir} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			disk := faultfs.New(nil)
			disk.Record(false)
			var names []string
			for i := range 12 {
				names = append(names, fmt.Sprintf("d%d/o", i))
			}
			r := newRenamingOn(t, disk, names...)
			// whole returns how many objects a bucket has, all of which are whole.
			whole := func(bucket core.Key) (n int) {
				for _, name := range names {
					bucket.Name = name
					reader, err := r.Store.Open(t.Context(), bucket)
					if err != nil {
						continue
					}
					content, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size))
					if err != nil || string(content) != "content of "+name {
						t.Errorf("%s: %q, %v", bucket.Cname(), content, err)
					}
					if err := reader.Close(); err != nil {
						t.Error(err)
					}
					n++
				}
				return n
			}
			disk.Inject(faultfs.Fault{Op: op, Path: "/@ais/b2/", Nth: 6, Times: -1, Err: unix.ENOSPC})
			s := r.Run(r.spec)
			disk.Heal()
			if !s.Aborted || !strings.Contains(s.Error+s.AbortError, "out of space") {
				t.Errorf("%+v", s)
			}
			if old, done := whole(r.Key("")), whole(r.to); old != len(names) || done == len(names) {
				t.Errorf("%d in the old bucket, %d in the new one", old, done)
			}
			again := *r.spec
			again.ID += "again"
			r.to.Props = r.to.Props.Clone()
			r.to.Props.Renamed = Mark(again.ID, r.Bck)
			r.apply(t)
			if s := r.Run(&again); s.Aborted || s.Error != "" {
				t.Errorf("again: %+v", s)
			}
			if done := whole(r.to); done != len(names) {
				t.Errorf("again: %d in the new bucket", done)
			}
		})
	}
}
