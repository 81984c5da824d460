package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// maxPayload bounds the random bytes that are kept; larger objects repeat them.
const maxPayload = 16 << 20

// kinds of operations, in the order of the table.
const (
	kindGet = iota
	kindPut
	kinds
)

var kindNames = [kinds]string{"GET", "PUT"}

func run(ctx context.Context, args []string, out io.Writer) error {
	p, err := parse(args)
	if err != nil {
		return err
	}
	if !p.quiet || p.dryRun {
		fmt.Fprintf(out, "%s: %s, %d workers, %d%% PUT, sizes %v to %v, duration %v, seed %d, cleanup %v\n",
			p.endpoint(), p.bucket, p.workers, p.pctPut, p.minSize, p.maxSize, p.duration, p.seed, p.cleanup)
	}
	if p.dryRun {
		return nil
	}
	client, err := api.New(api.Options{URL: p.endpoint(), UserAgent: "aisloader"})
	if err != nil {
		return err
	}
	defer client.Close()
	w, err := prepare(ctx, p, client)
	if err != nil {
		return err
	}
	result, runErr := load.Run(ctx, &load.Plan{Workers: p.workers, Duration: p.duration, Seed: uint64(p.seed), Task: w.task})
	if runErr == nil || result.Operations > 0 {
		runErr = errors.Join(runErr, report(out, p, result))
	}
	if p.cleanup {
		// Also after an interrupt: the context of the run may be over.
		cleanupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := client.DestroyBucket(cleanupCtx, p.bucket); err != nil {
			fmt.Fprintf(out, "cleanup: %v\n", err)
		}
	}
	return runErr
}

// workload makes the operations of a run.
type workload struct {
	*parameters
	smap    *meta.Smap
	gateway string // host:port
	names   []string
	payload []byte
	headers string
	put     atomic.Int64 // bytes that were PUT or are under way
	counter atomic.Int64 // of new names
}

func prepare(ctx context.Context, p *parameters, client *api.Client) (*workload, error) {
	w := &workload{parameters: p, payload: make([]byte, min(int64(p.maxSize), maxPayload))}
	if p.pctPut > 0 {
		_, _ = rand.Read(w.payload) // never fails
	}
	u, err := url.Parse(client.URL())
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" {
		return nil, fmt.Errorf("%s: only plain HTTP is supported", client.URL())
	}
	w.gateway = u.Host
	if w.smap, err = client.FetchSmap(ctx); err != nil {
		return nil, err
	}
	if p.direct {
		w.headers = fmt.Sprintf("%s: %d\r\n", wire.HeaderSmapVersion, w.smap.Version)
	}
	present, err := client.ListBuckets(ctx, p.bucket, wire.PresencePresent)
	if err != nil {
		return nil, err
	}
	if len(present) == 0 {
		if err := client.CreateBucket(ctx, p.bucket, nil); err != nil && !api.IsConflict(err) {
			return nil, err
		}
	}
	if p.pctPut == 100 {
		return w, nil
	}
	for entry, err := range client.Objects(ctx, p.bucket, wire.LsoMsg{Props: "name"}) {
		if err != nil {
			return nil, err
		}
		w.names = append(w.names, entry.Name)
	}
	if len(w.names) == 0 {
		return nil, fmt.Errorf("%s holds nothing to read: run with -pctput=100 first", p.bucket)
	}
	return w, nil
}

func (w *workload) task(_ context.Context, c *load.Worker) bool {
	if w.done() {
		return false
	}
	random := c.Random
	if random.IntN(100) >= w.pctPut {
		name := w.names[random.IntN(len(w.names))]
		c.Request.Reset("GET", w.address(name))
		c.Request.Path = append(c.Request.Path, w.path(name)...)
		_, _ = c.Do(kindGet)
		return true
	}
	size := int64(w.minSize)
	if w.maxSize > w.minSize {
		size += random.Int64N(int64(w.maxSize-w.minSize) + 1)
	}
	w.put.Add(size)
	name := fmt.Sprintf("%016x%016x-%x", random.Uint64(), random.Uint64(), w.counter.Add(1))
	c.Request.Reset("PUT", w.address(name))
	c.Request.Path = append(append(c.Request.Path, w.path(name)...), "?skip_vc=true"...)
	c.Request.Headers = append(c.Request.Headers, w.headers...)
	c.Request.Body, c.Request.Size, c.Request.Gateway = w.payload[:min(size, maxPayload)], size, !w.direct
	_, _ = c.Do(kindPut)
	return true
}

// done ends a run that has written enough.
func (w *workload) done() bool {
	return w.totalPutSize > 0 && w.put.Load() >= int64(w.totalPutSize)
}

func (w *workload) path(name string) string {
	return (&url.URL{Path: wire.PathObjects + "/" + w.bucket.Name + "/" + name}).EscapedPath()
}

func (w *workload) address(name string) string {
	if !w.direct {
		return w.gateway
	}
	owner, err := w.smap.Owner(hrw.Digest(w.bucket.Uname(name)))
	if err != nil {
		return w.gateway // which says the same better
	}
	return strings.TrimPrefix(owner.Public.URL, "http://")
}

// summary is one kind of operations in JSON: times in nanoseconds,
// throughput in bytes a second.
type summary struct {
	Count      int64         `json:"count,string"`
	Bytes      int64         `json:"bytes,string"`
	Errors     int64         `json:"errors"`
	Duration   time.Duration `json:"duration"`
	Min        time.Duration `json:"min_latency"`
	Mean       time.Duration `json:"latency"`
	P50        time.Duration `json:"p50_latency"`
	P99        time.Duration `json:"p99_latency"`
	Max        time.Duration `json:"max_latency"`
	Throughput int64         `json:"throughput,string"`
}

func report(out io.Writer, p *parameters, result *load.Result) error {
	summaries := map[string]summary{}
	if !p.json {
		fmt.Fprintf(out, "%-4s %12s %14s %9s %10s %10s %10s %10s %8s\n", "OP", "COUNT", "BYTES", "OPS/S", "MEAN", "P50", "P99", "MAX", "ERRORS")
	}
	for kind, name := range kindNames {
		k := &result.Kinds[kind]
		if k.Operations+k.Errors == 0 {
			continue
		}
		seconds := result.Elapsed.Seconds()
		s := summary{
			Count: k.Operations, Bytes: k.Bytes, Errors: k.Errors, Duration: result.Elapsed, Min: k.Latency.Min(), Mean: k.Latency.Mean(),
			P50: k.Latency.Quantile(0.5), P99: k.Latency.Quantile(0.99), Max: k.Latency.Max(), Throughput: int64(float64(k.Bytes) / seconds),
		}
		summaries[strings.ToLower(name)] = s
		if !p.json {
			fmt.Fprintf(out, "%-4s %12d %14d %9.0f %10v %10v %10v %10v %8d\n", name, s.Count, s.Bytes, float64(s.Count)/seconds,
				round(s.Mean), round(s.P50), round(s.P99), round(s.Max), s.Errors)
		}
	}
	if result.FirstError != nil {
		fmt.Fprintf(out, "first error: %v\n", result.FirstError)
	}
	if !p.json {
		return nil
	}
	return json.NewEncoder(out).Encode([]map[string]summary{summaries})
}

func round(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
