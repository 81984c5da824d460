package core

import (
	"context"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// files are the paths of a disk's files below a part of it, by inode.
func (c *callCrash) files(part string) map[uint64]string {
	files := map[uint64]string{}
	c.system.Walk("/disk1", func(path string, info fs.FileInfo) {
		if info.Kind == fs.KindFile && strings.Contains(path, part) {
			files[info.Inode] = path
		}
	})
	return files
}

// write changes bytes of a file behind the store's back, durably.
func (c *callCrash) write(path, content string) {
	c.t.Helper()
	f, err := c.system.Open(path, unix.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte(content), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// spoil makes an attribute unreadable, durably.
func (c *callCrash) spoil(path, attribute string) {
	c.t.Helper()
	if err := c.system.SetXattr(path, attribute, []byte("garbage")); err != nil {
		c.t.Fatal(err)
	}
	c.write(path, "")
}

// TestPowerIsLostDuringQuarantine: at whatever call the power goes while something damaged
// is moved into quarantine, each of its files is where it was or there, if it is
// the first that ever goes there as well: a file may be all that is left of an object.
func TestPowerIsLostDuringQuarantine(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	put := func(c *callCrash, name string, chunk int64) string {
		c.t.Helper()
		_, err := c.store.Put(ctx, c.key(name), strings.NewReader("content"), PutOptions{Size: 7})
		if err == nil && chunk > 0 {
			_, err = c.store.Rechunk(ctx, c.key(name), chunk)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		for _, path := range c.files("/%o") {
			return path
		}
		c.t.Fatal("no file")
		return ""
	}
	open := func(name string) func(*callCrash) {
		return func(c *callCrash) {
			if r, err := c.store.Open(ctx, c.key(name)); err == nil {
				_ = r.Close() // was only read
			}
		}
	}
	entry := func(c *callCrash) meta.BucketEntry { return meta.BucketEntry{Bck: c.bck, Props: c.props} }
	for _, of := range []struct {
		name    string
		prepare func(*callCrash)
		run     func(*callCrash)
	}{
		{"content", func(c *callCrash) { c.write(put(c, "o", 0), "x") }, open("o")},
		{"record", func(c *callCrash) { c.spoil(put(c, "o", 0), XattrRecord) }, open("o")},
		{"record of an object in chunks", func(c *callCrash) { c.spoil(put(c, "o", 3), XattrRecord) }, open("o")},
		{"record that has the name", func(c *callCrash) { c.spoil(put(c, "a//b", 0), XattrRecord) }, func(c *callCrash) {
			_, _ = c.store.VerifyWalk(ctx, VerifyWalkOptions{VerifyOptions: VerifyOptions{Repair: true}, Buckets: []meta.BucketEntry{entry(c)}})
		}},
		{"slices", func(c *callCrash) {
			keep(c.t, c.store, c.key("o"), 1, 10, randomBytes(1, 1000))
			for _, path := range c.files("/%ec/") {
				c.spoil(path, XattrSlice)
			}
		}, func(c *callCrash) {
			_ = c.store.WalkSlices(ctx, entry(c), func(*Slice) error { return nil })
		}},
	} {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			moved := false
			for seed := range uint64(8) {
				for n, reached := 1, true; reached; n++ {
					c := newCallCrash(t)
					of.prepare(c)
					before := c.files("/@ais/")
					calls := 0
					var after *crashfs.System
					c.system.Before(func(faultfs.Call) error {
						if calls++; calls == n {
							after = c.system.Crash(seed*1000 + uint64(n))
						}
						return nil
					})
					of.run(c)
					if reached = after != nil; !reached {
						moved = len(c.files("/"+fs.QuarantineDir+"/")) > 1 // with its explanation
						after = c.system.Crash(seed)
					}
					c.close()
					c.system = after
					now := c.files("")
					for inode, path := range before {
						if now[inode] == "" {
							t.Errorf("seed %d, call %d: %s is gone", seed, n, path)
						}
					}
				}
			}
			if !moved {
				t.Error("nothing went to quarantine")
			}
		})
	}
}
