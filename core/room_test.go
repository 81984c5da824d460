package core

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/fs"
)

// twoDisks is a system in which mp1 and mp2 are filesystems of their own, and one of them
// is full, or both are ("@all").
type twoDisks struct {
	fs.System
	full string
}

func (d twoDisks) Stat(path string) (fs.FileInfo, error) {
	info, err := d.System.Stat(path)
	for i, name := range []string{"mp1", "mp2"} {
		if strings.Contains(path+"/", "/"+name+"/") {
			info.Dev = uint64(1001 + i)
		}
	}
	return info, err
}

func (d twoDisks) Statfs(path string) (fs.FilesystemInfo, error) {
	info, err := d.System.Statfs(path)
	info.Total, info.Available = 1<<40, 1<<39
	if d.full == "@all" || strings.Contains(path+"/", "/"+d.full+"/") {
		info.Available = 1 << 30
	}
	return info, err
}

// TestOneFullDiskOfTwo: what comes from other targets is refused for the names of a
// mountpath that is full, and for no others: moved generations, slices, and objects that
// are made again.
func TestOneFullDiskOfTwo(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	from := newRig(t, rigOptions{store: func(o *Options) { o.NodeID = "t1" }})
	to := newRig(t, rigOptions{
		mountpaths: 2, system: twoDisks{fs.Unix(), "mp1"}, store: func(o *Options) { o.NodeID = "t2" },
		space: fs.Watermarks{Cleanup: 65, Low: 75, High: 90, OutOfSpace: 95},
	})
	byDisk := map[string][]string{}
	for i := 0; len(byDisk["mp1"]) < 3 || len(byDisk["mp2"]) < 3; i++ {
		name := fmt.Sprintf("o%d", i)
		o, err := to.store.resolve(to.key(name))
		if err != nil {
			t.Fatal(err)
		}
		disk := filepath.Base(o.mp.Path)
		byDisk[disk] = append(byDisk[disk], name)
	}
	for disk, want := range map[string]int{"mp1": 507, "mp2": 0} {
		check := func(what string, err error) {
			t.Helper()
			if err == nil && want != 0 || err != nil && statusOf(err) != want {
				t.Errorf("%s, on %s: %v", what, disk, err)
			}
		}
		names := byDisk[disk]
		for _, name := range names[:2] {
			from.put(name, "content of "+name)
		}
		d, err := from.store.Depart(ctx, from.key(names[0]))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range d.Parcels() {
			body, err := p.Open(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_, err = to.store.Arrive(ctx, to.key(names[0]), p.Head, body)
			check("a generation that moves", err)
			if err := body.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		_, attrs, _ := from.get(names[1])
		check("an object that is made again", to.store.RestoreObject(ctx, to.key(names[1]), &attrs, io.NopCloser(strings.NewReader("content of "+names[1])), nil))
		_, err = stage(to.store, to.key(names[2]), 1, 10, bytes.Repeat([]byte("x"), 1000))
		check("a slice", err)
	}
}
