package test

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/deploy/playground"
)

// sliceFile is a slice, a replica or a mark as it lies on a disk.
type sliceFile struct {
	core.Slice
	target string
	bytes  int64 // of the file
}

// slicesByName are the slices of all names that some targets hold in the bucket "b".
func (c *cluster) slicesByName(targets []*playground.Node) map[string][]sliceFile {
	c.t.Helper()
	held := map[string][]sliceFile{}
	frame := make([]byte, 4096)
	for _, n := range targets {
		for i := range c.Mountpaths {
			err := filepath.WalkDir(filepath.Join(c.Mountpath(n, i+1), "@ais/b/%ec"), func(path string, entry iofs.DirEntry, err error) error {
				if errors.Is(err, iofs.ErrNotExist) {
					return nil
				}
				if err != nil || entry.IsDir() {
					return err
				}
				info, err := os.Stat(path)
				if errors.Is(err, iofs.ErrNotExist) {
					return nil
				}
				length, xerr := unix.Getxattr(path, core.XattrSlice, frame)
				if errors.Is(xerr, unix.ENOENT) {
					return nil
				}
				if err := errors.Join(err, xerr); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				sl, err := core.DecodeSlice(frame[:length])
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				sl.Staged = strings.HasSuffix(path, ".next")
				held[sl.Name] = append(held[sl.Name], sliceFile{Slice: sl, target: n.Name(), bytes: info.Size()})
				return nil
			})
			if err != nil {
				c.t.Fatal(err)
			}
		}
	}
	return held
}

// lacks tells what is wrong with the slices of an object of a size; "" for nothing: each
// number is there once, committed, of one generation, on a target of its own.
func (p ecProof) lacks(held []sliceFile, size int) string {
	first, count, length := 0, p.parity, int64(size) // replicas, whose number is 0
	if size >= ecSizeLimit {
		first, count, length = 1, p.data+p.parity, core.SliceLength(int64(size), p.data)
	}
	numbers, targets := map[int]int{}, map[string]bool{}
	for i := range held {
		h := &held[i]
		switch {
		case h.IsMark():
			return "there is a mark on " + h.target
		case h.Staged:
			return fmt.Sprintf("number %d on %s is staged", h.Number, h.target)
		case h.Stamp != held[0].Stamp:
			return fmt.Sprintf("number %d on %s is of another generation than number %d on %s", h.Number, h.target, held[0].Number, held[0].target)
		case h.bytes < length:
			return fmt.Sprintf("number %d on %s has %d bytes of %d", h.Number, h.target, h.bytes, length)
		case targets[h.target]:
			return h.target + " holds two"
		}
		numbers[h.Number]++
		targets[h.target] = true
	}
	if first == 0 {
		if len(held) == count && numbers[0] == count {
			return ""
		}
		return fmt.Sprintf("replicas: %d of %d, numbers %v", len(held), count, numbers)
	}
	for number := first; number <= count; number++ {
		if numbers[number] != 1 {
			return fmt.Sprintf("number %d is there %d times", number, numbers[number])
		}
	}
	if len(held) != count {
		return fmt.Sprintf("%d slices of %d", len(held), count)
	}
	return ""
}

// wantProtection waits, for five minutes, until nothing is under-protected and exactly
// the slices and replicas of all objects are there, those of names that are left out
// aside; then it has all of them read and compared with their checksums.
func (p ecProof) wantProtection(c *cluster, targets []*playground.Node, all objects, leftOut ...string) {
	c.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		n, err := c.underProtected(targets)
		var wrong []string
		if err == nil && n == 0 {
			if wrong = p.wrongSlices(c, targets, all, leftOut); len(wrong) == 0 {
				break
			}
		}
		if time.Now().After(deadline) {
			if len(wrong) == 0 {
				wrong = p.wrongSlices(c, targets, all, leftOut)
			}
			c.t.Fatalf("%d objects are under-protected, %v; %d have other slices than they should, such as\n%s", n, err, len(wrong), strings.Join(wrong[:min(10, len(wrong))], "\n"))
		}
	}
	id := must(c.t, http.StatusOK, http.MethodPut, c.nodes[0].URL()+"/v1/cluster",
		`{"action":"start","value":{"kind":"scrub","bck":{"name":"b","provider":"ais"}}}`, "Content-Type", jsonType).body
	if s := c.awaitJobWithin(5*time.Minute, c.nodes[0], id); s.Err != "" || s.Aborted {
		c.t.Errorf("scrub: %+v", s)
	}
}

// wrongSlices says of each name what is wrong with its slices, of those too that are
// there and should not be.
func (p ecProof) wrongSlices(c *cluster, targets []*playground.Node, all objects, leftOut []string) (wrong []string) {
	c.t.Helper()
	held := c.slicesByName(targets)
	for _, name := range leftOut {
		delete(held, name)
	}
	for name, content := range all {
		if lack := p.lacks(held[name], len(content)); lack != "" {
			wrong = append(wrong, name+": "+lack)
		}
		delete(held, name)
	}
	for _, name := range slices.Sorted(maps.Keys(held)) {
		wrong = append(wrong, fmt.Sprintf("%s: there are %d slices or marks of a name that is none", name, len(held[name])))
	}
	return wrong
}
