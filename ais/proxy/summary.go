package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aistore-go/aistore/ais/jobs"
	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/summary"
)

// A summary is a job: the first request starts it and is answered 202 with the
// id; further ones, to any gateway, ask for the result: 202 as long as there is
// nothing, 206 with what was counted so far, 200 in the end.

const (
	// summaryTime bounds the question to one target.
	summaryTime = 10 * time.Second
	// accessSummary is what a summary needs of a bucket.
	accessSummary = meta.AccessListObjects | meta.AccessHeadBucket
)

// summarize answers the action summary-bck; a bucket without a name is a query
// for all that it matches.
func (p *Proxy) summarize(w http.ResponseWriter, r *http.Request, bucket string, body []byte, action *node.ActMsg, q *query.Values) error {
	msg := &wire.SummaryMsg{}
	if err := node.DecodeValue(action.Value, msg, action.Action); err != nil {
		return err
	}
	if msg.UUID != "" {
		got, err := p.summaryOf(r.Context(), msg.UUID)
		if err != nil {
			return err
		}
		return writeSummary(w, got)
	}
	entries := func(view *meta.View) ([]meta.BucketEntry, error) { return matching(view, q) }
	if bucket != "" {
		bck, err := q.Bck(bucket)
		if err != nil {
			return err
		}
		entries = func(view *meta.View) ([]meta.BucketEntry, error) {
			props, err := bucketFor(view, bck, accessSummary)
			return []meta.BucketEntry{{Bck: bck, Props: props}}, err
		}
	}
	return p.startSummary(w, r, body, msg.Prefix, entries, func(w http.ResponseWriter, _ *meta.View, id string) error {
		w.Header()[wire.HeaderContentType] = []string{wire.ContentTextUTF8}
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(id)) // the client is gone if this fails
		return nil
	})
}

// matching are the buckets that a query without a name selects.
func matching(view *meta.View, q *query.Values) ([]meta.BucketEntry, error) {
	want, err := q.BckQuery()
	if err != nil {
		return nil, err
	}
	entries := view.BMD.Buckets(func(bck wire.Bck, props *meta.Bprops) bool {
		return (want.Provider == "" || bck.Provider == want.Provider) && (want.Ns == wire.Ns{} && !q.Has(wire.QueryNamespace) || bck.Ns == want.Ns) &&
			props.Access.Allows(accessSummary)
	})
	if len(entries) == 0 {
		return nil, apierr.New(http.StatusInternalServerError, "", "no buckets match the query (provider %q, namespace %q): there is nothing to summarize",
			want.Provider, want.Ns)
	}
	return entries, nil
}

// startSummary starts the job at the primary, which answers.
func (p *Proxy) startSummary(w http.ResponseWriter, r *http.Request, body []byte, prefix string,
	buckets func(*meta.View) ([]meta.BucketEntry, error), answer func(w http.ResponseWriter, view *meta.View, id string) error,
) error {
	prefix = strings.TrimSuffix(prefix, "*")
	if _, err := naming.TruePrefix(prefix); err != nil {
		return err
	}
	return p.asPrimary(w, r, body, func(w http.ResponseWriter, r *http.Request) error {
		view := p.control.View()
		entries, err := buckets(view)
		if err != nil {
			return err
		}
		args := summary.Args{Prefix: prefix}
		for _, entry := range entries {
			args.Buckets = append(args.Buckets, entry.Bck)
		}
		spec := &xact.Spec{Kind: wire.ActSummaryBucket}
		if len(entries) == 1 {
			spec.Bck, spec.BID = entries[0].Bck, entries[0].Props.BID
		}
		if spec.Args, err = json.Marshal(&args); err != nil {
			return err
		}
		id, err := p.jobs.Start(r.Context(), onTargets(view, spec), nil)
		if err != nil {
			return err
		}
		return answer(w, view, id)
	})
}

// summed is a summary as far as it is known.
type summed struct {
	done    bool
	any     bool // something was counted
	bck     wire.Bck
	buckets []wire.BucketSummary
}

// status is that of an answer.
func (s *summed) status() int {
	switch {
	case s.done:
		return http.StatusOK
	case s.any:
		return http.StatusPartialContent
	}
	return http.StatusAccepted
}

func writeSummary(w http.ResponseWriter, got *summed) error {
	buckets := got.buckets
	if got.status() == http.StatusAccepted {
		buckets = []wire.BucketSummary{}
	}
	data, err := json.Marshal(buckets)
	if err != nil {
		return err
	}
	w.Header()[wire.HeaderContentType] = []string{wire.ContentJSONUTF8}
	w.WriteHeader(got.status())
	_, _ = w.Write(append(data, '\n')) // the client is gone if this fails
	return nil
}

// summaryOf asks the targets what they have counted. Errors: 400 no id, 404 no such
// summary, 410 the bucket was destroyed, else why the job has failed.
func (p *Proxy) summaryOf(ctx context.Context, id string) (*summed, error) {
	if err := naming.ValidateUUID(id); err != nil {
		return nil, err
	}
	record := jobs.Find(p.control.View(), id)
	if record == nil { // it may have been started through another gateway a moment ago
		if _, err := p.control.Barrier(ctx); err != nil {
			return nil, err
		}
		record = jobs.Find(p.control.View(), id)
	}
	if record == nil || record.Spec.Kind != wire.ActSummaryBucket {
		return nil, xact.ErrNotFound(wire.ActSummaryBucket, id)
	}
	if bck := record.Spec.Bck; record.Spec.BID != 0 {
		if props, ok := p.control.View().BMD.Get(bck); !ok || props.BID != record.Spec.BID {
			return nil, apierr.New(http.StatusGone, wire.CodeBckNotFound, "bucket %q was destroyed while it was being summarized", bck.String())
		}
	}
	if record.Cause != "" {
		return nil, apierr.New(http.StatusInternalServerError, "", "%s was aborted: %s", record.Spec.Name(), record.Cause)
	}
	results, err := p.askSummaries(ctx, record)
	if err != nil {
		return nil, err
	}
	return merged(record, results), nil
}

// askSummaries asks every target of a summary.
func (p *Proxy) askSummaries(ctx context.Context, record *jobs.Record) ([]summary.Result, error) {
	smap := p.control.View().Smap
	var mu sync.Mutex
	var results []summary.Result
	group, ctx := errgroup.WithContext(ctx)
	for _, id := range record.Targets {
		target := smap.Tmap[id]
		if target == nil {
			return nil, apierr.Unavailable(time.Second, "%s: t[%s] has left the cluster", record.Spec.Name(), id)
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, summaryTime)
			defer cancel()
			address := target.IntraControl.URL + wire.PathIntra + "/summary/" + url.PathEscape(record.Spec.ID)
			data, _, err := p.node.RPC().Request(ctx, rpc.Control, http.MethodGet, address, "", nil)
			if err != nil {
				return err
			}
			var r summary.Result
			if err := json.Unmarshal(data, &r); err != nil {
				return apierr.Wrap(err, http.StatusInternalServerError, "", "%s: the answer of %s cannot be read", record.Spec.Name(), target)
			}
			if r.Error != "" {
				return apierr.New(http.StatusInternalServerError, "", "%s was aborted on %s: %s", record.Spec.Name(), target, r.Error)
			}
			mu.Lock()
			results = append(results, r)
			mu.Unlock()
			return nil
		})
	}
	return results, group.Wait()
}

// merged adds what the targets have counted.
func merged(record *jobs.Record, results []summary.Result) *summed {
	got := &summed{done: true, bck: record.Spec.Bck}
	at := map[wire.Bck]int{}
	for _, r := range results {
		got.done = got.done && r.Done
		for i := range r.Buckets {
			one := &r.Buckets[i]
			got.any = got.any || one.Count.Present > 0
			if have, ok := at[one.Bck]; ok {
				got.buckets[have].Add(one)
				continue
			}
			at[one.Bck] = len(got.buckets)
			got.buckets = append(got.buckets, *one)
		}
	}
	for i := range got.buckets {
		got.buckets[i].Finish()
		got.buckets[i].Present = true // the cluster knows all that it counts
	}
	return got
}

// headSummary answers HEAD of a bucket, or of a prefix in it, with its summary in
// a header.
func (p *Proxy) headSummary(w http.ResponseWriter, r *http.Request, bck wire.Bck, prefix string, q *query.Values) error {
	if id := q.Get(wire.QueryUUID); id != "" {
		return p.headSummaryOf(w, r, bck, id)
	}
	if _, _, err := p.freshProps(r.Context(), bck); err != nil {
		return err
	}
	var props *meta.Bprops
	return p.startSummary(w, r, nil, prefix, func(view *meta.View) (_ []meta.BucketEntry, err error) {
		props, err = bucketFor(view, bck, accessSummary)
		return []meta.BucketEntry{{Bck: bck, Props: props}}, err
	}, func(w http.ResponseWriter, _ *meta.View, id string) error {
		return writeHeadSummary(w, props, id, http.StatusAccepted, nil)
	})
}

func (p *Proxy) headSummaryOf(w http.ResponseWriter, r *http.Request, bck wire.Bck, id string) error {
	got, err := p.summaryOf(r.Context(), id)
	if err != nil {
		return err
	}
	if got.bck != bck {
		return apierr.BadRequest("the summary %s is of %s, not of %s", id, got.bck, bck)
	}
	props, ok := p.control.View().BMD.Get(bck)
	if !ok {
		return objreq.ErrBucketNotFound(bck)
	}
	var sum *wire.BucketSummary
	if status := got.status(); status != http.StatusAccepted && len(got.buckets) > 0 {
		sum = &got.buckets[0]
	}
	return writeHeadSummary(w, props, id, got.status(), sum)
}

// writeHeadSummary answers with headers alone.
func writeHeadSummary(w http.ResponseWriter, props *meta.Bprops, id string, status int, sum *wire.BucketSummary) error {
	encoded, err := json.Marshal(props)
	if err != nil {
		return apierr.Wrap(err, http.StatusInternalServerError, "", "encode the properties of the bucket")
	}
	h := w.Header()
	h[wire.HeaderBucketProps] = []string{string(encoded)}
	h[wire.HeaderXactionID] = []string{id}
	if sum != nil {
		if encoded, err = json.Marshal(sum); err != nil {
			return apierr.Wrap(err, http.StatusInternalServerError, "", "encode the summary of the bucket")
		}
		h[wire.HeaderBucketSummary] = []string{string(encoded)}
	}
	w.WriteHeader(status)
	return nil
}
