package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	copyTargets = 3
	copyObjects = 12
	copySize    = 64 << 20
	// copyBound is what part of the rate of cp and sync a copy must have.
	copyBound = 0.6
	// copyLook is how often the job's state is asked for.
	copyLook = 20 * time.Millisecond
)

// copies are jobs that copy, beside programs that do the same with files.
var copies = &section{
	title: "Copies of buckets beside cp",
	notes: func(b *bench) []string {
		return []string{
			fmt.Sprintf("A bucket of %d objects of %d MiB, durability `sync`, checksums xxhash2, copied to a new bucket; one gateway, %d targets with one mountpath each, no other load; plain HTTP. Data on a disk: %s.",
				copyObjects, copySize>>20, copyTargets, filesystem(b.disk)),
			"Beside it, in turns: `cp -r` of a folder with the same bytes, followed by `sync`, on the same disk. Both read what is in the page cache; medians.",
			"Two thirds of the objects go to another target, and every one is read, summed, and flushed before it counts.",
		}
	},
	head: []string{"operation", "ours MiB/s", "ours ms CPU a MiB (user + sys)", "cp and sync MiB/s", "ratio", "bound"},
}

func copyRows() []row {
	return []row{{id: "copy-bucket", section: copies, title: "copy of a bucket beside cp", measure: measureCopies}}
}

func measureCopies(ctx context.Context, b *bench) ([]string, error) {
	var err error
	if b.durable == nil {
		b.durable, err = startCluster(ctx, &clusterOptions{bin: b.bin, root: filepath.Join(b.disk, "copies"), port: firstPort + 20, targets: copyTargets, durability: "sync"})
		if err != nil {
			return nil, err
		}
	}
	plain := filepath.Join(b.disk, "plain")
	if err := fillCopies(ctx, b.durable, filepath.Join(plain, "from")); err != nil {
		return nil, err
	}
	var mine []sample
	var rates []float64
	for round := range b.rounds {
		b.progress.round(round+1, b.rounds)
		s, err := copyBucket(ctx, b.durable, fmt.Sprintf("copy-%d", round))
		if err != nil {
			return nil, err
		}
		mine = append(mine, s)
		rate, err := copyFiles(ctx, plain)
		if err != nil {
			return nil, err
		}
		rates = append(rates, rate)
	}
	m, rate := median(mine), medianOf(rates)
	return []string{
		fmt.Sprintf("copy-bck, %d MiB objects", copySize>>20), fmt.Sprintf("%.0f", m.rate),
		fmt.Sprintf("%.2f (%.2f + %.2f)", m.cpu()/1000, m.user/1000, m.system/1000),
		fmt.Sprintf("%.0f", rate), fmt.Sprintf("%.2f", m.rate/rate), fmt.Sprintf("at least %.2f", copyBound),
	}, os.RemoveAll(plain)
}

// fillCopies stores the objects, and the same bytes as files.
func fillCopies(ctx context.Context, c *cluster, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	data := make([]byte, copySize)
	for i := range copyObjects {
		_, _ = rand.Read(data) // never fails
		name := fmt.Sprintf("%03d", i)
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			return err
		}
		if err := c.request(ctx, http.MethodPut, c.proxy()+"/v1/objects/"+bucket+"/"+name, string(data), nil); err != nil {
			return err
		}
	}
	unix.Sync()
	return nil
}

// copyBucket copies the bucket to a new one, which it removes, and returns MiB a
// second, and the CPU time a MiB.
func copyBucket(ctx context.Context, c *cluster, to string) (s sample, err error) {
	user, system, err := cpuTime(c.processes())
	if err != nil {
		return s, err
	}
	began := time.Now()
	id, err := c.text(ctx, http.MethodPost, c.proxy()+"/v1/buckets/"+bucket+"?bck_to="+url.QueryEscape("ais/@#/"+to+"/"), `{"action":"copy-bck","value":{}}`)
	if err != nil {
		return s, err
	}
	for {
		var state struct {
			Error   string `json:"err"`
			Ended   int64  `json:"end_time"`
			Aborted bool   `json:"aborted"`
		}
		text, err := c.text(ctx, http.MethodGet, c.proxy()+"/v1/cluster?what=status", `{"id":"`+id+`"}`)
		if err == nil {
			err = json.Unmarshal([]byte(text), &state)
		}
		if err == nil && (state.Error != "" || state.Aborted) {
			err = errors.New("the copy has failed: " + state.Error)
		}
		if err != nil {
			return s, err
		}
		if state.Ended != 0 {
			// When it has ended, and not when that was seen.
			const mib = copyObjects * copySize >> 20
			s.rate = mib / time.Unix(0, state.Ended).Sub(began).Seconds()
			userNow, systemNow, err := cpuTime(c.processes())
			if err != nil {
				return s, err
			}
			s.user = float64((userNow - user).Microseconds()) / mib
			s.system = float64((systemNow - system).Microseconds()) / mib
			break
		}
		select {
		case <-time.After(copyLook):
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	if err := c.request(ctx, http.MethodDelete, c.proxy()+"/v1/buckets/"+to, `{"action":"destroy-bck"}`, nil); err != nil {
		return s, err
	}
	return s, c.emptied(ctx)
}

// emptied waits until the trash of all targets is empty: removing files is work
// for the disk.
func (c *cluster) emptied(ctx context.Context) error {
	for {
		left := 0
		for _, n := range c.Nodes()[1:] {
			names, err := os.ReadDir(filepath.Join(c.Mountpath(n, 1), ".$deleted"))
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			left += len(names)
		}
		if left == 0 {
			unix.Sync()
			return nil
		}
		select {
		case <-time.After(copyLook):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// copyFiles has cp and sync copy the files, and returns MiB a second.
func copyFiles(ctx context.Context, folder string) (rate float64, err error) {
	to := filepath.Join(folder, "to")
	began := time.Now()
	for _, args := range [][]string{{"cp", "-r", filepath.Join(folder, "from"), to}, {"sync"}} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	rate = copyObjects * copySize >> 20 / time.Since(began).Seconds()
	err = os.RemoveAll(to)
	unix.Sync()
	return rate, err
}
