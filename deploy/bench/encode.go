package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/klauspost/reedsolomon"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
)

const (
	encodeSize    = 64 << 20
	encodeObjects = 12 // in each round
	encodeData    = 4
	encodeParity  = 2
	encodeTargets = encodeData + encodeParity + 1
	encodeBound   = 1.5
)

var encoding = &section{
	title: "Erasure coding",
	notes: func(b *bench) []string {
		return []string{
			fmt.Sprintf("CPU time (user + system) of all %d processes for the encoding of one object of 64 MiB as %d+%d slices on %d targets: a job `ec-encode` over %d objects that are stored already, divided by them; medians of %d rounds, each with a new bucket.",
				encodeTargets+1, encodeData, encodeParity, encodeTargets, encodeObjects, b.rounds),
			"Beside it, in turns: `klauspost/reedsolomon` on 64 MiB in memory, and nginx storing the bytes of all slices as new files, 6 PUTs of 16 MiB for each object.",
			"All data in " + orDisk(memoryFolder()) + ", plain HTTP, durability `none`, checksums xxhash2; the holders compare each slice with its checksums.",
		}
	},
	head: []string{"operation", "ours ms (user + sys)", "objects/s", "reedsolomon ms", "nginx ms", "ratio", "bound"},
}

func encodeRows() []row {
	return []row{{id: "ec-encode", section: encoding, title: "EC encode 4+2 of 64 MiB", measure: measureEncode}}
}

func measureEncode(ctx context.Context, b *bench) ([]string, error) {
	var err error
	if b.encode == nil {
		b.encode, err = startCluster(ctx, &clusterOptions{bin: b.bin, root: filepath.Join(b.memory, "encode"), port: firstPort + 40, targets: encodeTargets})
		if err != nil {
			return nil, err
		}
	}
	reference, err := b.nginx(ctx)
	if err != nil {
		return nil, fmt.Errorf("the reference: %w", err)
	}
	content := make([]byte, encodeSize)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(content) // never fails
	var mine, stored []sample
	var matrix []float64
	for round := range b.rounds {
		b.progress.round(round+1, b.rounds)
		s, err := b.encode.encode(ctx, fmt.Sprintf("round-%d", round), content)
		if err != nil {
			return nil, err
		}
		mine = append(mine, s)
		ms, err := encodeInMemory(content)
		if err != nil {
			return nil, err
		}
		matrix = append(matrix, ms)
		put, err := b.storeSlices(ctx, reference, content[:encodeSize/encodeData])
		if err != nil {
			return nil, err
		}
		stored = append(stored, put)
	}
	m, rs, put := median(mine), medianOf(matrix), median(stored).cpu()/1000*(encodeData+encodeParity)
	return []string{
		"EC encode 4+2 of 64 MiB", fmt.Sprintf("%.1f (%.1f + %.1f)", m.cpu()/1000, m.user/1000, m.system/1000), fmt.Sprintf("%.1f", m.rate),
		fmt.Sprintf("%.1f", rs), fmt.Sprintf("%.1f", put), fmt.Sprintf("%.2f", m.cpu()/1000/(rs+put)), fmt.Sprintf("%.2f", encodeBound),
	}, nil
}

// storeSlices has nginx store as many new files as a round of ours makes slices.
func (b *bench) storeSlices(ctx context.Context, n *nginx, body []byte) (sample, error) {
	s, _, err := b.sampleWith(ctx, n.processes(), &load.Plan{
		Workers: encodeData + encodeParity, Operations: encodeObjects * (encodeData + encodeParity),
		Task: func(_ context.Context, w *load.Worker) bool {
			w.Request.Reset("PUT", address(n.url()))
			w.Request.Path = fmt.Appendf(w.Request.Path, "/slices/%d", w.Number)
			w.Request.Body = body
			_, _ = w.Do(0)
			return true
		},
	})
	return s, errors.Join(err, os.RemoveAll(filepath.Join(n.root, "data", "slices")))
}

// encodeInMemory returns the CPU time that the library takes, in milliseconds.
func encodeInMemory(content []byte) (float64, error) {
	matrix, err := reedsolomon.New(encodeData, encodeParity)
	if err != nil {
		return 0, err
	}
	shards := make([][]byte, encodeData+encodeParity)
	for i := range shards {
		shards[i] = make([]byte, len(content)/encodeData)
		if i < encodeData {
			copy(shards[i], content[i*len(shards[i]):])
		}
	}
	if err := matrix.Encode(shards); err != nil { // the pages of the memory are there now
		return 0, err
	}
	const times = 5
	before, err := ownTime()
	for range times {
		if err == nil {
			err = matrix.Encode(shards)
		}
	}
	if err != nil {
		return 0, err
	}
	after, err := ownTime()
	return float64((after - before).Microseconds()) / times / 1000, err
}

// ownTime is the CPU time of this process.
func ownTime() (time.Duration, error) {
	var used syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), err
}

// encode stores objects in a new bucket, has them encoded, and returns what that cost
// each of them. The bucket is removed.
func (c *cluster) encode(ctx context.Context, name string, content []byte) (s sample, err error) {
	if err := c.makeBucket(ctx, name, ""); err != nil {
		return s, err
	}
	url := c.proxy() + "/v1/buckets/" + name
	for i := range encodeObjects {
		if err := c.request(ctx, http.MethodPut, fmt.Sprintf("%s/v1/objects/%s/o%d", c.proxy(), name, i), string(content), nil); err != nil {
			return s, err
		}
	}
	userBefore, systemBefore, err := cpuTime(c.processes())
	if err != nil {
		return s, err
	}
	began := time.Now()
	id, err := c.text(ctx, http.MethodPost, url, fmt.Sprintf(`{"action":"ec-encode","value":{"data_slices":%d,"parity_slices":%d}}`, encodeData, encodeParity))
	if err != nil {
		return s, err
	}
	if err := c.awaitJob(ctx, id); err != nil {
		return s, err
	}
	took := time.Since(began)
	userAfter, systemAfter, err := cpuTime(c.processes())
	if err != nil {
		return s, err
	}
	s = sample{
		user:   float64((userAfter - userBefore).Microseconds()) / encodeObjects,
		system: float64((systemAfter - systemBefore).Microseconds()) / encodeObjects,
		rate:   encodeObjects / took.Seconds(),
	}
	return s, c.request(ctx, http.MethodDelete, url, `{"action":"destroy-bck"}`, nil)
}

// awaitJob waits until a job has ended without an error.
func (c *cluster) awaitJob(ctx context.Context, id string) error {
	body, err := json.Marshal(map[string]string{"id": id})
	if err != nil {
		return err
	}
	for {
		text, err := c.text(ctx, http.MethodGet, c.proxy()+"/v1/cluster?what=status", string(body))
		if err != nil {
			return err
		}
		var status struct {
			Error   string `json:"err"`
			EndTime int64  `json:"end_time"`
			Aborted bool   `json:"aborted"`
		}
		if err := json.Unmarshal([]byte(text), &status); err != nil {
			return err
		}
		switch {
		case status.Aborted, status.Error != "":
			return fmt.Errorf("job %s: %s", id, text)
		case status.EndTime != 0:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}
