package core

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
)

// TestMountpathsComeAndLeaveNothingChanges: version, checksum, custom metadata, times and all noncurrent
// versions of what moves between mountpaths are as they were, while it moves, afterwards, and
// after a restart.
func TestMountpathsComeAndLeaveNothingChanges(t *testing.T) {
	t.Parallel()
	for name, props := range map[string]func(*meta.Bprops){
		"one file each": chunkedProps,
		"mirrored":      func(p *meta.Bprops) { chunkedProps(p); mirrored(2)(p) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{mountpaths: 2, props: props})
			want := map[string]string{}
			for i := range 40 {
				name := fmt.Sprintf("dir%d/o%02d", i%3, i)
				o := PutOptions{Size: -1, Custom: []KV{{"k", strings.Repeat("v", 1+i%4*600)}}}
				content := strings.Repeat(name, 1+i%5*300)
				if i%4 == 3 {
					o.Keep = KeepVersion
					r.put(name, "an earlier one of "+name)
				}
				if _, err := r.tryPut(name, content, o); err != nil {
					t.Fatal(err)
				}
				r.age(1+i, name)
			}
			r.arrange()
			r.restart() // the times are those of the files
			for i := range 40 {
				name := fmt.Sprintf("dir%d/o%02d", i%3, i)
				want[name] = r.describe(name)
			}
			same := func(when string) {
				t.Helper()
				for name := range want {
					if got := r.describe(name); got != want[name] {
						t.Errorf("%s: %s is\n%s\nwas\n%s", when, name, got, want[name])
					}
				}
			}
			r.attach("new")
			same("one is attached")
			if did := r.arrangeAll(); did.Moved == 0 {
				t.Errorf("nothing was moved: %+v", did)
			}
			same("objects have moved to it")
			if err := r.fs.Settle(r.fs.Available()); err != nil {
				t.Fatal(err)
			}
			leaves := r.fs.Available().Paths[0]
			if err := r.fs.BeginRemoval(leaves.Path, fs.Disable); err != nil {
				t.Fatal(err)
			}
			same("one is to leave")
			r.arrangeAll()
			if err := r.fs.FinishRemoval(leaves.Path); err != nil {
				t.Fatal(err)
			}
			same("it has left")
			r.restart()
			same("after a restart")
		})
	}
}
