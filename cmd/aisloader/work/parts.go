package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmd/aisloader/stats"
	"github.com/aistore-go/aistore/cmn/wire"
)

// helpers are the connections of a worker that does things in parallel. They
// are made once.
func (l *Load) helpers(w *load.Worker, s *state, n int) []*load.Worker {
	for len(s.sub) < n {
		s.sub = append(s.sub, &load.Worker{Index: w.Index, Random: w.Random, Client: load.NewClient(&l.session.Options)})
	}
	return s.sub[:n]
}

// upload PUTs an object in parts: create, the parts in parallel, complete. A
// part that fails aborts the upload.
func (l *Load) upload(ctx context.Context, w *load.Worker, s *state, name []byte, size int64, choice uint64) bool {
	w.Begin(stats.Multipart)
	err := l.uploadParts(ctx, w, s, name, size, choice)
	l.count(w, w.Start, stats.Multipart, size, err)
	return err == nil
}

func (l *Load) uploadParts(ctx context.Context, w *load.Worker, s *state, name []byte, size int64, choice uint64) error {
	resp, err := l.action(ctx, w, s, "POST", name, "", wire.ActMsg{Action: wire.ActMultipartUpload})
	if err != nil {
		return err
	}
	id := strings.TrimSpace(string(resp.Body))
	if id == "" {
		return fmt.Errorf("%s: no id of the upload in the answer", l.p.Bucket.Cname(string(name)))
	}
	id = wire.QueryUploadID + "=" + id
	n := l.p.Parts
	helpers, errs := l.helpers(w, s, n), make([]error, n)
	// Whatever is shared by the worker's helpers is used before they begin.
	for i, helper := range helpers {
		from, to := size*int64(i)/int64(n), size*int64(i+1)/int64(n)
		l.request(w, &helper.Request, s, "PUT", name, fmt.Sprintf("%s&%s=%d", id, wire.QueryPartNumber, i+1))
		if err := s.payload.put(&helper.Request, to-from, choice+uint64(i)); err != nil {
			errs[i] = err
		}
	}
	var wait sync.WaitGroup
	for i, helper := range helpers {
		if errs[i] == nil {
			wait.Go(func() { _, errs[i] = l.do(ctx, helper, &helper.Request) })
		}
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		_, abortErr := l.action(ctx, w, s, "DELETE", name, id, wire.ActMsg{Action: wire.ActMultipartAbort})
		return errors.Join(err, abortErr)
	}
	type part struct {
		Number int    `json:"part-number"`
		ETag   string `json:"etag"`
	}
	parts := make([]part, n)
	for i := range parts {
		parts[i].Number = i + 1
	}
	_, err = l.action(ctx, w, s, "POST", name, id, wire.ActMsg{Action: wire.ActMultipartDone, Value: parts})
	return err
}

// action sends a control message about an object.
func (l *Load) action(ctx context.Context, w *load.Worker, s *state, method string, name []byte, query string, msg wire.ActMsg) (load.Response, error) {
	body, err := json.Marshal(msg)
	if err != nil {
		return load.Response{}, err
	}
	r := &w.Request
	l.request(w, r, s, method, name, query)
	r.AddHeader(wire.HeaderContentType, wire.ContentJSON)
	r.Body, r.Keep = body, true
	return l.do(ctx, w, r)
}

// download reads an object in ranges, several at a time.
func (l *Load) download(ctx context.Context, w *load.Worker, s *state, name []byte) bool {
	w.Begin(stats.Download)
	n, err := l.fetch(ctx, w, s, name)
	l.count(w, w.Start, stats.Download, n, err)
	return true
}

func (l *Load) fetch(ctx context.Context, w *load.Worker, s *state, name []byte) (int64, error) {
	l.request(w, &w.Request, s, "HEAD", name, "")
	head, err := l.do(ctx, w, &w.Request)
	if err != nil {
		return 0, err
	}
	size, chunk := head.Length, l.p.Chunk
	if size < 0 {
		return 0, fmt.Errorf("%s: no length in the answer to HEAD", l.p.Bucket.Cname(string(name)))
	}
	chunks := (size + chunk - 1) / chunk
	helpers := l.helpers(w, s, int(min(int64(l.p.Fetchers), chunks)))
	errs := make([]error, len(helpers))
	var next, read atomic.Int64
	var wait sync.WaitGroup
	query := ""
	if l.p.Latest {
		query = wire.QueryLatest + "=true"
	}
	for i, helper := range helpers {
		l.request(w, &helper.Request, s, "GET", name, query)
		headers := len(helper.Request.Headers)
		wait.Go(func() {
			r := &helper.Request
			for errs[i] == nil && ctx.Err() == nil {
				k := next.Add(1) - 1
				if k >= chunks {
					return
				}
				length := min(chunk, size-k*chunk)
				r.Headers = appendRange(r.Headers[:headers], k*chunk, length)
				resp, err := l.do(ctx, helper, r)
				if err == nil && (resp.Status != 206 && size > length || resp.Bytes != length) {
					err = fmt.Errorf("%s: %d bytes and status %d for a range of %d", l.p.Bucket.Cname(string(name)), resp.Bytes, resp.Status, length)
				}
				errs[i] = err
				read.Add(resp.Bytes)
			}
		})
	}
	wait.Wait()
	return read.Load(), errors.Join(errs...)
}
