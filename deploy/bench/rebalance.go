package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/deploy/playground"
)

// moveTime bounds one rebalance.
const moveTime = 10 * time.Minute

var moving = &section{
	title: "Rebalance",
	notes: func(b *bench) []string {
		return []string{
			fmt.Sprintf("One gateway, two targets with one mountpath each, data on a disk: %s. One of the targets goes into maintenance and comes back, "+
				"in turns: its share of the objects, about half, moves away and back. Medians of %d moves; those of small objects are moves away, of a new cluster each.", filesystem(b.disk), b.rounds),
			"Beside the large objects, in turns: `cp` of as many bytes from one folder of the disk to another, followed by `sync`.",
		}
	},
	head: []string{"what", "moved at a time", "rebalance", "beside it", "ratio", "aim"},
}

func rebalanceRows() []row {
	return []row{
		{id: "rebalance-64m", section: moving, title: "rebalance of 64 MiB objects beside cp and sync", measure: measureLargeMoves},
		{id: "rebalance-small", section: moving, title: "CPU of a rebalance of small objects", measure: measureSmallMoves},
	}
}

// movement is a cluster of two targets whose second one leaves and comes back.
type movement struct {
	*cluster
	second string // its id
	away   bool
}

// moved is what one rebalance has done.
type moved struct {
	objects, bytes int64 // that came in
	took           time.Duration
}

// withMovement runs f with a cluster of objects of one size, and stops it.
func (b *bench) withMovement(ctx context.Context, size, count int, fill []workingSet, f func(*movement) error) (err error) {
	root := filepath.Join(b.disk, "rebalance")
	c, err := startCluster(ctx, &clusterOptions{bin: b.bin, root: root, port: firstPort + 30, targets: 2})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop(), os.RemoveAll(root)) }()
	for _, set := range fill {
		if err := set.store(ctx, address(c.proxy()), "/v1/objects/"+bucket, "", c.loadOptions()); err != nil {
			return err
		}
	}
	body := make([]byte, size)
	result, err := load.Run(ctx, &load.Plan{
		Workers: 8, Operations: int64(count), Options: c.loadOptions(),
		Task: func(_ context.Context, w *load.Worker) bool {
			w.Request.Reset("PUT", address(c.proxy()))
			w.Request.Path = appendName(append(w.Request.Path, "/v1/objects/"+bucket+"/move/"...), int(w.Number))
			w.Request.Body, w.Request.Gateway = body, true
			_, _ = w.Do(0)
			return true
		},
	})
	if err == nil && result.Errors > 0 {
		err = result.FirstError
	}
	if err != nil {
		return err
	}
	b.progress.step("stored %d objects", count)
	var smap playground.Smap
	if err := c.request(ctx, http.MethodGet, c.proxy()+"/v1/daemon?what=smap", "", &smap); err != nil {
		return err
	}
	m := &movement{cluster: c}
	for id := range smap.Tmap {
		m.second = max(m.second, id)
	}
	return f(m)
}

// begin starts the next rebalance and returns its id.
func (m *movement) begin(ctx context.Context) (id string, err error) {
	action := "start-maintenance"
	if m.away {
		action = "stop-maintenance"
	}
	body := fmt.Sprintf(`{"action":%q,"value":{"sid":%q}}`, action, m.second)
	for {
		status, text, err := m.ask(ctx, http.MethodPut, "/v1/cluster", body)
		switch {
		case err != nil:
			return "", err
		case status == http.StatusOK:
			m.away = !m.away
			return text, nil
		case status != http.StatusConflict: // the operation before is about to end
			return "", fmt.Errorf("%s: %d %s", action, status, text)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return "", err
		}
	}
}

// running tells whether a rebalance has not ended. The error is its own, too.
func (m *movement) running(ctx context.Context, id string) (bool, error) {
	var s wire.JobStatus
	if err := m.asked(ctx, "status", id, &s); err != nil || s.EndTime == 0 {
		return true, err
	}
	if s.Error != "" || s.Aborted {
		return false, fmt.Errorf("%s: %s", id, s.Error)
	}
	return false, nil
}

// end waits for the end of a rebalance.
func (m *movement) end(ctx context.Context, id string) (done moved, err error) {
	ctx, cancel := context.WithTimeout(ctx, moveTime)
	defer cancel()
	for {
		runs, err := m.running(ctx, id)
		if err != nil {
			return done, err
		}
		if !runs {
			break
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return done, err
		}
	}
	var snaps map[string][]wire.Snap
	if err := m.asked(ctx, "qryxstats", id, &snaps); err != nil {
		return done, err
	}
	var first, last time.Time
	for _, list := range snaps {
		for i := range list {
			s := &list[i]
			done.objects, done.bytes = done.objects+s.Stats.InObjects, done.bytes+s.Stats.InBytes
			if first.IsZero() || s.StartTime.Before(first) {
				first = s.StartTime
			}
			if s.EndTime.After(last) {
				last = s.EndTime
			}
		}
	}
	done.took = last.Sub(first)
	if done.objects == 0 || done.took <= 0 {
		return done, fmt.Errorf("%s has moved nothing", id)
	}
	return done, nil
}

func (m *movement) asked(ctx context.Context, what, id string, into any) error {
	status, text, err := m.ask(ctx, http.MethodGet, "/v1/cluster?what="+what, `{"id":"`+id+`"}`)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s of %s: %d %s", what, id, status, text)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}

func (m *movement) ask(ctx context.Context, method, path, body string) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, m.proxy()+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := m.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), errors.Join(err, resp.Body.Close())
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// of is a count, or a tenth of it in a quick run.
func (b *bench) of(count int) int {
	if b.quick {
		return count / 10
	}
	return count
}

func measureLargeMoves(ctx context.Context, b *bench) (cells []string, err error) {
	const size = 64 << 20
	err = b.withMovement(ctx, size, max(4, b.of(32)), nil, func(m *movement) error {
		var rates, plain []float64
		var last moved
		for round := range b.rounds {
			b.progress.round(round+1, b.rounds)
			id, err := m.begin(ctx)
			if err != nil {
				return err
			}
			if last, err = m.end(ctx, id); err != nil {
				return err
			}
			rates = append(rates, float64(last.bytes)/last.took.Seconds())
			rate, err := copyRate(ctx, filepath.Join(b.disk, "cp"), size, int(last.objects))
			if err != nil {
				return err
			}
			plain = append(plain, rate)
		}
		ours, theirs := medianOf(rates), medianOf(plain)
		cells = []string{
			"64 MiB objects", fmt.Sprintf("%d objects", last.objects), mebibytes(int64(ours)) + "/s", "cp, sync: " + mebibytes(int64(theirs)) + "/s",
			fmt.Sprintf("%.2f", ours/theirs), "at least 0.5",
		}
		return nil
	})
	return cells, err
}

// copyRate is how many bytes a second cp and sync take for so many files.
func copyRate(ctx context.Context, folder string, size, count int) (rate float64, err error) {
	from, to := filepath.Join(folder, "from"), filepath.Join(folder, "to")
	if err := os.MkdirAll(from, 0o755); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	data := (&workingSet{size: size, bodies: 1}).payload(false).data[:size]
	for i := range count {
		if err := os.WriteFile(filepath.Join(from, fmt.Sprint(i)), data, 0o644); err != nil {
			return 0, err
		}
	}
	if out, err := exec.CommandContext(ctx, "sync").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("sync: %w: %s", err, out)
	}
	began := time.Now()
	for _, command := range [][]string{{"cp", "-r", "--reflink=never", from, to}, {"sync"}} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%v: %w: %s", command, err, out)
		}
	}
	return float64(size) * float64(count) / time.Since(began).Seconds(), nil
}

// smallMoves are twice as many small objects as are to move at a time.
const smallMoves = 200_000

// measureSmallMoves moves the objects of a new cluster each time: ext4 does not give
// away the inodes of files that were deleted in the last minutes, and looks at each
// of them whenever it needs one, which would be most of what a move back costs.
func measureSmallMoves(ctx context.Context, b *bench) (cells []string, err error) {
	var costs, users, rates []float64
	var last moved
	for round := range b.rounds {
		b.progress.round(round+1, b.rounds)
		err := b.withMovement(ctx, small.size, b.of(smallMoves), nil, func(m *movement) error {
			targets := m.processes()[1:]
			userBefore, systemBefore, err := cpuTime(targets)
			if err != nil {
				return err
			}
			id, err := m.begin(ctx)
			if err != nil {
				return err
			}
			if last, err = m.end(ctx, id); err != nil {
				return err
			}
			user, system, err := cpuTime(targets)
			if err != nil {
				return err
			}
			user, system = user-userBefore, system-systemBefore
			costs = append(costs, float64((user+system).Microseconds())/float64(last.objects))
			users = append(users, float64(user.Microseconds())/float64(last.objects))
			rates = append(rates, float64(last.objects)/last.took.Seconds())
			b.progress.step("%d objects moved in %v, %.0f us each", last.objects, last.took, costs[round])
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return []string{
		"4 KiB objects", fmt.Sprintf("%d objects", last.objects), fmt.Sprintf("%.0f us CPU an object on both sides (%.0f in user mode)", medianOf(costs), medianOf(users)),
		fmt.Sprintf("%.0f objects/s", medianOf(rates)), "-", "250 us",
	}, nil
}
