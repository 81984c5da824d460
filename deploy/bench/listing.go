package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmn/wire"
)

const (
	fewObjects  = 100_000
	manyObjects = 1_000_000
	rssObjects  = 10_000 // the state that memory with many objects is compared with
	pageSize    = 1000
)

// population is a cluster with a small and a large bucket.
type population struct {
	*cluster
	few, many     int
	anonymousFew  int64 // memory of the target with rssObjects
	anonymousMany int64 // and with all of them
	took          time.Duration
	anywhere      *[2]pageCost // names behind random names: the large bucket, the small one
}

// pageCost is what a page costs.
type pageCost struct {
	sample
	wall float64 // milliseconds, the median
}

// objects fills two buckets. The objects have 16 bytes: their number counts.
func (b *bench) objects(ctx context.Context) (*population, error) {
	if b.populated != nil {
		return b.populated, nil
	}
	c, err := startCluster(ctx, &clusterOptions{bin: b.bin, root: filepath.Join(b.memory, "population"), port: firstPort + 20})
	if err != nil {
		return nil, err
	}
	p := &population{cluster: c, few: fewObjects, many: manyObjects}
	b.populated = p
	first := rssObjects
	if b.quick {
		p.few, p.many, first = p.few/10, p.many/10, first/10
	}
	ctx, cancel := context.WithTimeout(ctx, b.populate)
	defer cancel()
	began := time.Now()
	b.progress.step("storing %d objects", p.few+p.many)
	if err := p.store(ctx, "few", 0, first); err != nil {
		return nil, err
	}
	if p.anonymousFew, err = settled(ctx, p.Nodes()[1].PID()); err != nil {
		return nil, err
	}
	if err := p.store(ctx, "few", first, p.few); err != nil {
		return nil, err
	}
	if err := p.store(ctx, "many", 0, p.many); err != nil {
		return nil, err
	}
	p.took = time.Since(began)
	b.progress.step("stored in %v", p.took.Round(time.Second))
	p.anonymousMany, err = settled(ctx, p.Nodes()[1].PID())
	return p, err
}

// store writes the objects from..to of a bucket.
func (p *population) store(ctx context.Context, name string, from, to int) error {
	if from == 0 {
		if err := p.makeBucket(ctx, name, "none"); err != nil {
			return err
		}
	}
	target, headers, body := address(p.target()), p.directHead(), make([]byte, 16)
	result, err := load.Run(ctx, &load.Plan{
		Workers: 16, Operations: int64(to - from),
		Task: func(_ context.Context, w *load.Worker) bool {
			w.Request.Reset("PUT", target)
			w.Request.Path = append(append(append(w.Request.Path, wire.PathObjects+"/"...), name...), '/')
			w.Request.Path = appendName(w.Request.Path, from+int(w.Number))
			w.Request.Headers = append(w.Request.Headers, headers...)
			w.Request.Body = body
			_, _ = w.Do(0)
			return true
		},
	})
	switch {
	case err != nil:
		return err
	case result.Errors > 0:
		return result.FirstError
	case result.Operations < int64(to-from):
		return fmt.Errorf("%d of %d objects of %s were stored: %w", result.Operations, to-from, name, ctx.Err())
	}
	return nil
}

// appendName spreads numbers over folders, as data sets do, and over the
// order of the names: neighbours were not written one after the other.
func appendName(path []byte, number int) []byte {
	spread := uint32(number) * 2654435761 // odd: no two numbers meet
	return fmt.Appendf(path, "%02x/%06x", spread>>24, spread&0xffffff)
}

// settled is the anonymous memory of a process once it no longer changes much.
func settled(ctx context.Context, pid int) (int64, error) {
	last := int64(0)
	for range 30 {
		now, err := anonymous(pid)
		if err != nil {
			return 0, err
		}
		if last > 0 && max(now-last, last-now) < last/100 {
			return now, nil
		}
		last = now
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
	return last, nil
}

var listing = &section{
	title: "Listing",
	notes: func(b *bench) []string {
		many, few := manyObjects, fewObjects
		if b.quick {
			many, few = many/10, few/10
		}
		return []string{
			fmt.Sprintf("A bucket of %d objects and one of %d, names in 256 folders, stored in scattered order; one gateway, one target, data in %s, plain HTTP.", many, few, orDisk(memoryFolder())),
			fmt.Sprintf("CPU time of all server processes a page, one client; JSON; the first page, and pages behind random names; medians of %d rounds of %v, in which the two buckets take turns.", b.rounds, b.slice),
		}
	},
	head: []string{"listing", "objects", "page", "server ms CPU a page (user + sys)", "wall ms a page (median)", "bound"},
}

func listRows() []row {
	page := func(id, title, bound string, ofMany, anywhere bool, props string) row {
		return row{id: id, section: listing, title: title, measure: func(ctx context.Context, b *bench) ([]string, error) {
			p, err := b.objects(ctx)
			if err != nil {
				return nil, err
			}
			var s pageCost
			switch {
			case anywhere && props == "name":
				many, few, err := b.pagesAnywhere(ctx, p)
				if err != nil {
					return nil, err
				}
				if s = many; !ofMany {
					s = few
				}
			default:
				costs, err := b.pages(ctx, p, []bool{ofMany}, anywhere, props)
				if err != nil {
					return nil, err
				}
				s = costs[0]
			}
			_, objects := p.bucket(ofMany)
			return []string{title, fmt.Sprint(objects), fmt.Sprint(pageSize), fmt.Sprintf("%.2f (%.2f + %.2f)", s.cpu()/1000, s.user/1000, s.system/1000), fmt.Sprintf("%.2f", s.wall), bound}, nil
		}}
	}
	return []row{
		page("list-first", "first page, names", "5 ms CPU", true, false, "name"),
		page("list-any", "any page, names", "5 ms CPU", true, true, "name"),
		page("list-any-props", "any page, name, size, checksum, version", "5 ms CPU", true, true, "name,size,checksum,version"),
		page("list-few-any", "any page, names", "-", false, true, "name"),
		{id: "list-growth", section: listing, title: "page of many objects against few", measure: measureGrowth},
		{id: "list-all", section: listing, title: "all names through one client", measure: measureAll},
	}
}

func (p *population) bucket(many bool) (name string, objects int) {
	if many {
		return "many", p.many
	}
	return "few", p.few
}

// pagesAnywhere measures pages of names of both buckets, once for all rows.
func (b *bench) pagesAnywhere(ctx context.Context, p *population) (many, few pageCost, err error) {
	if p.anywhere == nil {
		costs, err := b.pages(ctx, p, []bool{true, false}, true, "name")
		if err != nil {
			return many, few, err
		}
		p.anywhere = &[2]pageCost{costs[0], costs[1]}
	}
	return p.anywhere[0], p.anywhere[1], nil
}

// pages measures pages of buckets, which take turns.
func (b *bench) pages(ctx context.Context, p *population, buckets []bool, anywhere bool, props string) ([]pageCost, error) {
	samples, latencies := make([][]sample, len(buckets)), make([]load.Histogram, len(buckets))
	for round := range b.rounds {
		b.progress.round(round+1, b.rounds)
		for i, many := range buckets {
			name, objects := p.bucket(many)
			s, result, err := b.sampleWith(ctx, p.processes(), &load.Plan{Workers: 1, Duration: b.slice, Task: p.page(name, objects, anywhere, props), Seed: 1})
			if err != nil {
				return nil, err
			}
			samples[i] = append(samples[i], s)
			latencies[i].Merge(&result.Latency)
		}
	}
	costs := make([]pageCost, len(buckets))
	for i := range buckets {
		costs[i] = pageCost{median(samples[i]), float64(latencies[i].Quantile(0.5).Microseconds()) / 1000}
	}
	return costs, nil
}

// page is a task that asks for one page.
func (p *population) page(name string, objects int, anywhere bool, props string) load.Task {
	proxy := address(p.proxy())
	return func(_ context.Context, w *load.Worker) bool {
		msg := wire.LsoMsg{Props: props, PageSize: pageSize}
		if anywhere {
			msg.ContinuationToken = string(appendName(nil, w.Random.IntN(objects)))
		}
		body, err := json.Marshal(wire.ActMsg{Action: wire.ActList, Value: msg})
		if err != nil {
			w.Count(0, 0, err)
			return false
		}
		w.Request.Reset("GET", proxy)
		w.Request.Path = append(append(w.Request.Path, wire.PathBuckets+"/"...), name...)
		w.Request.Headers = append(w.Request.Headers, "Content-Type: application/json\r\n"...)
		w.Request.Body = body
		_, _ = w.Do(0)
		return true
	}
}

func measureGrowth(ctx context.Context, b *bench) ([]string, error) {
	p, err := b.objects(ctx)
	if err != nil {
		return nil, err
	}
	many, few, err := b.pagesAnywhere(ctx, p)
	if err != nil {
		return nil, err
	}
	return []string{
		"any page: many objects / few", fmt.Sprintf("%d / %d", p.many, p.few), fmt.Sprint(pageSize),
		fmt.Sprintf("%.2f x", many.cpu()/few.cpu()), fmt.Sprintf("%.2f x", many.wall/few.wall), "1.3 x",
	}, nil
}

// measureAll lists the small bucket as a program does: page after page, each
// decoded.
func measureAll(ctx context.Context, b *bench) ([]string, error) {
	p, err := b.objects(ctx)
	if err != nil {
		return nil, err
	}
	var walls []float64
	var samples []sample
	for range b.rounds {
		userBefore, systemBefore, err := cpuTime(p.processes())
		if err != nil {
			return nil, err
		}
		began := time.Now()
		pages, err := p.listAll(ctx)
		if err != nil {
			return nil, err
		}
		walls = append(walls, time.Since(began).Seconds()*1000)
		userAfter, systemAfter, err := cpuTime(p.processes())
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample{
			user: float64((userAfter - userBefore).Microseconds()) / float64(pages), system: float64((systemAfter - systemBefore).Microseconds()) / float64(pages),
		})
	}
	m := median(samples)
	return []string{
		"all names through one client", fmt.Sprint(p.few), "default", fmt.Sprintf("%.2f (%.2f + %.2f)", m.cpu()/1000, m.user/1000, m.system/1000),
		fmt.Sprintf("%.0f the whole bucket", medianOf(walls)), "500 ms the whole bucket",
	}, nil
}

func (p *population) listAll(ctx context.Context) (pages int, err error) {
	token, names := "", 0
	for {
		body, err := json.Marshal(wire.ActMsg{Action: wire.ActList, Value: wire.LsoMsg{Props: "name", ContinuationToken: token}})
		if err != nil {
			return pages, err
		}
		page := wire.LsoPage{}
		if err := p.request(ctx, http.MethodGet, p.proxy()+wire.PathBuckets+"/few", string(body), &page); err != nil {
			return pages, err
		}
		pages++
		names += len(page.Entries)
		if token = page.ContinuationToken; token == "" {
			break
		}
	}
	if names != p.few {
		return pages, fmt.Errorf("the listing has %d of %d names", names, p.few)
	}
	return pages, nil
}

// mebibytes shows a number of bytes.
func mebibytes(n int64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/(1<<20)), ".0") + " MiB"
}
