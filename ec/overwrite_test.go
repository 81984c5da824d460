package ec

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/core/meta"
)

func redundantWrites(props *meta.Bprops) { props.Durability = meta.DurabilityRedundant }

// changesOfObjects are the ways in which a client changes an object; each returns what the object
// is then, nil if it is gone.
var changesOfObjects = map[string]func(c *testCluster, name string, before []byte) (after []byte, err error){
	"put": func(c *testCluster, name string, before []byte) ([]byte, error) {
		after := randomContent(2, len(before)+1)
		_, err := c.owner(name).store.Put(context.Background(), c.key(name), bytes.NewReader(after), core.PutOptions{Size: int64(len(after))})
		return after, err
	},
	"append": func(c *testCluster, name string, before []byte) ([]byte, error) {
		ctx, store, more := context.Background(), c.owner(name).store, randomContent(3, 700)
		handle, err := store.BeginAppend(ctx, c.key(name), bytes.NewReader(more), int64(len(more)), 0)
		if err == nil {
			_, err = store.FlushAppend(ctx, c.key(name), handle, cksum.Value{})
		}
		return append(bytes.Clone(before), more...), err
	},
	"upload": func(c *testCluster, name string, before []byte) ([]byte, error) {
		ctx, store, after := context.Background(), c.owner(name).store, randomContent(4, len(before)+500)
		id, err := store.CreateUpload(ctx, c.key(name), core.CreateOptions{})
		if err != nil {
			return after, err
		}
		var parts []core.CompletePart
		for i := range 3 {
			part := after[i*len(after)/3 : (i+1)*len(after)/3]
			if _, err := store.PutPart(ctx, c.key(name), id, i+1, bytes.NewReader(part), core.PartOptions{Size: int64(len(part))}); err != nil {
				return after, err
			}
			parts = append(parts, core.CompletePart{Number: i + 1})
		}
		_, err = store.CompleteUpload(ctx, c.key(name), id, core.CompleteOptions{Listed: true, Parts: parts})
		return after, err
	},
	"delete": func(c *testCluster, name string, _ []byte) ([]byte, error) {
		return nil, c.owner(name).store.Delete(context.Background(), c.key(name))
	},
}

// TestOverwriteIsBrokenOff: with durability "redundant" the owner of an object breaks off
// a change of it after any number of calls to others, and loses its disks. The object is there,
// as it was or as it was to be, and a repair leaves nothing of the other content.
func TestOverwriteIsBrokenOff(t *testing.T) {
	t.Parallel()
	for kind, change := range changesOfObjects {
		for _, size := range []int{500, 50_000} {
			t.Run(fmt.Sprintf("%s of %d bytes", kind, size), func(t *testing.T) {
				t.Parallel()
				broken := true
				for calls := int64(0); broken && !t.Failed(); calls++ {
					broken = brokenOff(t, change, size, calls, calls%2 == 0)
					if !testing.Short() {
						brokenOff(t, change, size, calls, calls%2 != 0)
					}
				}
			})
		}
	}
}

// brokenOff breaks a change off after a number of calls; false: it came to its end. With look the object
// is read before its owner is lost.
func brokenOff(t *testing.T, change func(*testCluster, string, []byte) ([]byte, error), size int, calls int64, look bool) (broken bool) {
	t.Helper()
	c := newCluster(t, 6, 2, 2, redundantWrites)
	before := randomContent(1, size)
	c.put("o", before)
	var made atomic.Int64
	c.fail = func(string, string) error {
		if made.Add(1) > calls {
			return errBroken
		}
		return nil
	}
	after, err := change(c, "o", before)
	broken = made.Load() > calls
	if !broken && err != nil {
		t.Fatalf("%d calls, none of which failed: %v", calls, err)
	}
	c.fail = nil
	read := func(of *testTarget) []byte {
		t.Helper()
		got, _, readErr := of.get("o")
		switch {
		case readErr != nil && !apierr.IsNotFound(readErr), readErr != nil && after != nil:
			t.Errorf("%d calls (%v): %v", calls, err, readErr)
		case err == nil && !bytes.Equal(got, after), !bytes.Equal(got, before) && !bytes.Equal(got, after):
			t.Errorf("%d calls (%v): %d other bytes were read", calls, err, len(got))
		}
		return got
	}
	seen := before
	if look {
		seen = read(c.owner("o"))
	}
	c.wipe(c.order("o")[0])
	got := read(c.owner("o"))
	if bytes.Equal(seen, after) && !bytes.Equal(got, after) {
		t.Errorf("%d calls (%v): the old content was read after the new one", calls, err)
	}
	c.settle()
	c.recoverAll()
	want := 0
	if got != nil {
		c.mustBeWhole("o")
		want = ShapeOf(c.entry.Props, int64(len(got))).Pieces()
	}
	if n := c.countSlices(); n != want {
		t.Errorf("%d calls: %d files of slices, want %d", calls, n, want)
	}
	if again := read(c.owner("o")); !bytes.Equal(again, got) {
		t.Errorf("%d calls: another content after the repair", calls)
	}
	return broken
}

// TestRedundantWriteIsRefused: a holder fails, or there are too few. Nothing has changed then,
// at the owner and at the others.
func TestRedundantWriteIsRefused(t *testing.T) {
	t.Parallel()
	for _, size := range []int{500, 50_000} {
		c := newCluster(t, 5, 2, 2, redundantWrites)
		before, after := randomContent(1, size), randomContent(2, size)
		was := c.put("o", before)
		files, order := c.countSlices(), c.order("o")
		refused := func(why string) {
			t.Helper()
			_, err := c.owner("o").store.Put(context.Background(), c.key("o"), bytes.NewReader(after), core.PutOptions{Size: int64(size)})
			if err == nil || !strings.Contains(err.Error(), "is not stored") {
				t.Errorf("%d bytes, %s: %v", size, why, err)
			}
			c.mustGet("o", before, was)
			if n := c.countSlices(); n != files {
				t.Errorf("%d bytes, %s: %d files of slices, there were %d", size, why, n, files)
			}
		}
		c.fail = func(call, id string) error {
			if call == "stage" && id == order[1] {
				return errBroken
			}
			return nil
		}
		refused("a holder fails")
		c.fail = nil
		for _, id := range order[1:4] {
			c.set(c.down, id, true)
		}
		refused("one holder is left")
		for _, id := range order[1:4] {
			c.set(c.down, id, false)
		}
		c.mustBeWhole("o")
		c.mustGet("o", after, c.put("o", after))
	}
}
