package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/aistore-go/aistore/core/index"
	"github.com/aistore-go/aistore/fs"
)

// keysOfIndex are how many keys the index has when its pages are measured.
var keysOfIndex = []int{100_000, 1_000_000, 10_000_000}

var indexAlone = &section{
	title: "The listing index alone",
	notes: func(b *bench) []string {
		return []string{
			fmt.Sprintf("The library's part of a listing, without a server: pages of %d names behind random names, one after the other, for %v; values of 70 bytes; files in %s.", pageSize, b.slice, orDisk(memoryFolder())),
			"Measured once the process has been idle: what filling leaves to do in the background is done.",
		}
	},
	head: []string{"keys", "added in", "added a second", "us CPU a page", "us wall a page"},
}

func indexRows() []row {
	var rows []row
	for _, keys := range keysOfIndex {
		rows = append(rows, row{id: fmt.Sprintf("index-%dk", keys/1000), section: indexAlone, title: fmt.Sprintf("index of %d keys", keys),
			measure: func(ctx context.Context, b *bench) ([]string, error) {
				if b.quick {
					return b.measureIndex(ctx, keys/10)
				}
				return b.measureIndex(ctx, keys)
			}})
	}
	return rows
}

func (b *bench) measureIndex(ctx context.Context, keys int) (cells []string, err error) {
	root := filepath.Join(b.memory, "index")
	o := index.Options{Dir: filepath.Join(root, "index"), JournalDir: filepath.Join(root, "journal"), System: fs.Unix(), BootID: "bench", Cache: index.NewCache()}
	defer o.Cache.Close()
	if err := errors.Join(os.MkdirAll(o.Dir, 0o755), os.MkdirAll(o.JournalDir, 0o755)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	x, err := index.Open(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.Close(context.WithoutCancel(ctx))) }()
	began := time.Now()
	if err := fillIndex(ctx, x, keys); err != nil {
		return nil, err
	}
	filled := time.Since(began)
	runtime.GC() // what filling left is not a page's
	if err := idle(ctx); err != nil {
		return nil, err
	}
	user, system, err := cpuTime([]int{os.Getpid()})
	if err != nil {
		return nil, err
	}
	pages, random := 0, rand.New(rand.NewPCG(1, 1)) //nolint:gosec // the same names in every run
	for began = time.Now(); time.Since(began) < b.slice && ctx.Err() == nil; pages++ {
		if err := readPage(x, string(appendName(nil, random.IntN(keys)))); err != nil {
			return nil, err
		}
	}
	took := time.Since(began)
	userAfter, systemAfter, err := cpuTime([]int{os.Getpid()})
	if err != nil {
		return nil, err
	}
	n := float64(pages)
	return []string{
		fmt.Sprint(keys), filled.Round(100 * time.Millisecond).String(), fmt.Sprintf("%.0f", float64(keys)/filled.Seconds()),
		fmt.Sprintf("%.0f", float64((userAfter-user+systemAfter-system).Microseconds())/n), fmt.Sprintf("%.0f", float64(took.Microseconds())/n),
	}, ctx.Err()
}

// fillIndex adds keys as fast as they can be written to the disk.
func fillIndex(ctx context.Context, x *index.Index, keys int) error {
	value := make([]byte, 70)
	for i := range keys {
		x.Set(1, string(appendName(nil, i)), value)
		if i%1000 > 0 {
			continue
		}
		if err := x.Sync(ctx); err != nil {
			return err
		}
		if x.Backlog() > 64<<20 {
			if err := x.Checkpoint(ctx); err != nil {
				return err
			}
		}
	}
	return x.Checkpoint(ctx)
}

// idle waits until the process does next to nothing by itself, for a minute at
// most.
func idle(ctx context.Context) error {
	const look, little = 500 * time.Millisecond, 2 * tick
	last := time.Duration(-1)
	for range time.Minute / look {
		user, system, err := cpuTime([]int{os.Getpid()})
		if err != nil {
			return err
		}
		if last >= 0 && user+system-last <= little {
			return nil
		}
		last = user + system
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
	}
	return nil
}

// readPage reads the names behind another, fewer at the end of all.
func readPage(x *index.Index, after string) error {
	it, err := x.Iterate(1, "", after)
	if err != nil {
		return err
	}
	for range pageSize {
		if _, _, ok, err := it.Next(); err != nil {
			return errors.Join(err, it.Close())
		} else if !ok {
			break
		}
	}
	return it.Close()
}
