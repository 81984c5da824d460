package promote

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/fs/faultfs"
)

// TestPromotionOnAFullDisk: whatever call finds no space in the midst of it, the job says
// which files did not fit and for want of what; the objects that were made are whole, no
// source of another one goes, and the same again, when there is room, promotes the rest.
func TestPromotionOnAFullDisk(t *testing.T) {
	t.Parallel()
	files := []string{"d/a", "d/b", "d/c", "d/d", "d/e", "d/f", "d/g", "d/h"}
	for _, op := range []faultfs.Op{faultfs.OpCreate, faultfs.OpWrite, faultfs.OpSetXattr, faultfs.OpRename} {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			disk := faultfs.New(nil)
			disk.Record(false)
			p := newPromotionOn(t, disk)
			p.file(files...)
			disk.Inject(faultfs.Fault{Op: op, Path: "/@ais/", Nth: 5, Times: -1, Err: unix.ENOSPC})
			s := p.Run(p.spec(`{"src":"ROOT/d","dls":true}`))
			disk.Heal()
			made, left := p.objects(), p.left()
			if s.Error == "" || !strings.Contains(s.Error, "out of space") || int(s.Stats.LocalObjects) != len(made) {
				t.Errorf("%d objects, %+v", len(made), s)
			}
			if len(made) == 0 || len(left) == 0 || len(made)+len(left) != len(files) {
				t.Errorf("objects %q, files %q", made, left)
			}
			if s := p.Run(p.spec(`{"src":"ROOT/d","dls":true}`)); s.Error != "" || s.Aborted {
				t.Errorf("again: %+v", s)
			}
			want := []string{}
			for _, name := range files {
				want = append(want, strings.TrimPrefix(name, "d/")+"="+name)
			}
			if got := p.objects(); !slices.Equal(got, want) || len(p.left()) > 0 {
				t.Errorf("again: objects %q, files %q", got, p.left())
			}
		})
	}
}
