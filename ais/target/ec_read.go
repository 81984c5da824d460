package target

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/httprange"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
	"github.com/aistore-go/aistore/ec"
)

// readSlices answers a read of an erasure-coded object while its owner does not:
// from what other targets hold. Whether the owner, which may be cut off and not
// dead, has something newer nobody can tell, so the answer is marked.
func (t *Target) readSlices(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	content, err := t.ec.Open(r.Context(), req.key)
	if err != nil {
		return err
	}
	node.MarkStale(w)
	return t.sendContent(w, r, req, content)
}

// sendContent answers a read with what was found on other targets.
func (t *Target) sendContent(w http.ResponseWriter, r *http.Request, req *objectRequest, content *ec.Content) error {
	set := newHeaders(w)
	if r.Method == http.MethodHead {
		return t.headAttrs(w, r, set, req, &content.Attrs)
	}
	part := contentOf(&content.Attrs)
	if err := part.cut(strings.Join(r.Header[wire.HeaderRange], ","), content.Size); err != nil {
		if value, ok := httprange.UnsatisfiedContentRange(err, content.Size); ok {
			w.Header()[wire.HeaderContentRange] = []string{value}
		}
		return err
	}
	out := &lateAnswer{w: w, begin: func() { w.WriteHeader(part.begin(set, &content.Attrs)) }}
	if err := content.WriteRange(r.Context(), part.start, part.length, out); err != nil {
		if !out.begun {
			return err
		}
		t.logger.Warn("an object was not sent to its end from its slices", "object", req.key.Cname(), "err", err)
		return nil
	}
	out.start()
	t.metrics.Done(metrics.Get, req.key.Bck, part.length, time.Since(req.began))
	return nil
}

// readAround answers a read of an object whose file this target, its owner, cannot open,
// with what other targets hold of it if it is erasure-coded; else with the error.
func (t *Target) readAround(w http.ResponseWriter, r *http.Request, req *objectRequest, failed error) error {
	if !slicesMayHelp(req.key, failed) {
		return failed
	}
	if err := t.readSlices(w, r, req); err != nil {
		t.logger.Warn("an object cannot be read where it lies, nor from its slices", "object", req.key.Cname(), "err", failed, "slices", err)
		return failed
	}
	t.logger.Warn("an object that cannot be read where it lies was sent from its slices", "object", req.key.Cname(), "err", failed)
	return nil
}

// slicesMayHelp tells that a read has failed because of a disk of this target, and that
// others may have what the object is made of.
func slicesMayHelp(key core.Key, failed error) bool {
	status := apierr.StatusOf(failed)
	return key.Props.EC.Enabled && (status == http.StatusInternalServerError || status == http.StatusInsufficientStorage)
}

// lateAnswer begins an answer with its first byte, so that what fails before is
// an error.
type lateAnswer struct {
	w     http.ResponseWriter
	begin func()
	begun bool
}

func (a *lateAnswer) start() {
	if !a.begun {
		a.begun = true
		a.begin()
	}
}

// Write implements io.Writer.
func (a *lateAnswer) Write(p []byte) (int, error) {
	a.start()
	return a.w.Write(p)
}

// readFromSlices answers a read of a name of which former owners that can be
// asked have nothing: it may be rebuilt. unknown are those that cannot be asked.
func (t *Target) readFromSlices(w http.ResponseWriter, r *http.Request, req *objectRequest, unknown []string) error {
	err := t.readLocal(w, r, req)
	if len(unknown) > 0 && apierr.IsNotFound(err) {
		return t.errUnknown(req.key, unknown)
	}
	return err
}

// newestOfSlices tells that the newest of an erasure-coded object is known, though
// former owners cannot be asked: the holders of slices are told of every write before it
// is acknowledged. What they hold is read unless what was found is newer, or as new and
// here.
func (t *Target) newestOfSlices(ctx context.Context, key core.Key, f *findings) bool {
	if !key.Props.EC.Enabled || f.none() {
		return false
	}
	content, err := t.ec.Open(ctx, key)
	if err != nil {
		return false
	}
	order := content.Stamp.Compare(f.best.Stamp)
	if order > 0 || order == 0 && f.best.node != nil { // of the same stamp it may have newer metadata
		f.slices = content
	}
	return true
}

// lostEverywhere tells that neither this target nor anybody's slices have a name.
func (t *Target) lostEverywhere(ctx context.Context, key core.Key) (bool, error) {
	if !key.Props.EC.Enabled {
		return true, nil
	}
	_, err := t.ec.Open(ctx, key)
	if apierr.IsNotFound(err) {
		return true, nil
	}
	var typed *apierr.Error
	if err != nil && errors.As(err, &typed) && typed.Status == http.StatusServiceUnavailable {
		return false, err
	}
	return false, nil
}
