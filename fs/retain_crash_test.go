package fs_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/crashfs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// TestPowerIsLostDuringMoves: at whatever call the power goes while something that is
// durable is renamed into a directory that was not there before, it is where it was or
// there.
func TestPowerIsLostDuringMoves(t *testing.T) {
	t.Parallel()
	for name, move := range map[string]func(l *losing, mp *fs.Mountpath, from string) error{
		"a file into a new directory": func(l *losing, mp *fs.Mountpath, from string) error {
			dir := filepath.Join(filepath.Dir(from), "x", "y")
			if err := mp.MakeDurableDirs(context.Background(), dir); err != nil {
				return err
			}
			return l.system.Rename(from, dir+"/object")
		},
		"a file into a directory that another one has just made": func(l *losing, mp *fs.Mountpath, from string) error {
			dir := filepath.Join(filepath.Dir(from), "x", "y")
			if err := mp.MakeDirs(dir); err != nil {
				return err
			}
			if err := mp.MakeDurableDirs(context.Background(), dir); err != nil {
				return err
			}
			return l.system.Rename(from, dir+"/object")
		},
		"a bucket that nobody knows": func(_ *losing, mp *fs.Mountpath, _ string) error {
			_, err := mp.Retain(mp.BucketDir(testBucket, ""))
			return err
		},
		"a file that nobody knows": func(_ *losing, mp *fs.Mountpath, from string) error {
			_, err := mp.Retain(from)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(6) {
				for n, reached := 1, true; reached; n++ {
					l := &losing{t: t, system: crashfs.New(crashfs.Options{Disks: []crashfs.Disk{{Path: "/disk1"}, {Path: "/disk2"}}})}
					l.open()
					mp := l.m.Available().Paths[0]
					l.object(mp, "object")
					calls := 0
					var after *crashfs.System
					l.system.Before(func(faultfs.Call) error {
						if calls++; calls == n {
							after = l.system.Crash(seed*1000 + uint64(n))
						}
						return nil
					})
					err := move(l, mp, filepath.Join(mp.BucketDir(testBucket, fs.ContentObject), "object"))
					if reached = after != nil; !reached {
						if err != nil {
							t.Fatal(err)
						}
						after = l.system.Crash(seed)
					}
					_ = l.m.Close() // its disks are gone
					found := false
					after.Walk("/disk1", func(path string, info fs.FileInfo) {
						found = found || info.Size == int64(len("object")) && strings.Contains(path, "object")
					})
					if !found {
						t.Errorf("seed %d, call %d: it is gone", seed, n)
					}
				}
			}
		})
	}
}
