package target

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/aistore-go/aistore/ais/node/fastpath"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/httprange"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// fastObjects reads, probes and writes objects in the loop.
type fastObjects struct{ t *Target }

// fastRequest is all that one request needs. It is pooled.
type fastRequest struct {
	objectRequest
	simple    objreq.Simple
	reader    core.Reader
	content   content
	set       headers
	placement int64 // the version under which it was admitted
}

var fastRequests = sync.Pool{New: func() any { return new(fastRequest) }}

// ServeFast implements fastpath.Fast: it decides as objects does. A request
// that this target does not serve by itself and at once is left to that.
func (f fastObjects) ServeFast(c *fastpath.Conn, r *fastpath.Request) fastpath.Outcome {
	q := fastRequests.Get().(*fastRequest)
	outcome := f.t.serveFast(c, r, q)
	q.objectRequest, q.set.h = objectRequest{}, nil
	fastRequests.Put(q)
	return outcome
}

func (t *Target) serveFast(c *fastpath.Conn, r *fastpath.Request, q *fastRequest) fastpath.Outcome {
	s := &q.simple
	if !s.Parse(r) {
		return fastpath.Slow
	}
	q.objectRequest = objectRequest{
		key: core.Key{Bck: s.Bck, Name: s.Object}, path: s.Path, marker: objreq.ReadMarker(&s.Query), began: time.Now(),
	}
	if !t.admitFast(r, q) {
		return fastpath.Slow
	}
	switch r.Method {
	case fastpath.Get:
		return t.getFast(c, r, q)
	case fastpath.Head:
		return t.headFast(c, q)
	default:
		return t.putFast(c, r, q)
	}
}

// admitFast tells that a request is this target's, by the marker or by the map
// that its client used, and that no other target can have anything newer.
func (t *Target) admitFast(r *fastpath.Request, q *fastRequest) bool {
	req := &q.objectRequest
	if req.marker.Present {
		ring := t.node.Ring()
		if !req.marker.Known(ring) || req.marker.Check(ring, req.key.Bck, req.key.Name, req.began) != nil {
			return false
		}
	}
	var header string
	if len(r.SmapVersion) > 0 {
		header = string(r.SmapVersion)
	}
	wanted, err := t.mapOfClient(q.simple.Method, header, req)
	view := t.control.View()
	if err != nil || view.Smap == nil || wanted > view.Smap.Version || view.Transition.Now() != nil || !view.Placement.Settled() {
		return false
	}
	if r.Method != fastpath.Put && (t.control.Stale() || !t.control.LeaseValid()) {
		return false // the answer says that it may be stale
	}
	owner, err := objreq.Owner(view.Smap, req.key.Bck, req.key.Name)
	if err != nil || owner.ID != t.node.ID() {
		return false
	}
	props, known := view.BMD.Get(req.key.Bck)
	if !known || !props.Access.Allows(objreq.Access(q.simple.Method, &q.simple.Query, "")) {
		return false
	}
	req.key.Props, q.placement = props, view.Placement.Ver()
	return true
}

// mayHaveLeft tells that there is nothing of a name here any more, which is no answer:
// since the request was admitted the owners of names have changed.
func (t *Target) mayHaveLeft(q *fastRequest, err error) bool {
	return apierr.IsNotFound(err) && t.control.View().Placement.Ver() != q.placement
}

// getFast is getObject.
func (t *Target) getFast(c *fastpath.Conn, r *fastpath.Request, q *fastRequest) fastpath.Outcome {
	req := &q.objectRequest
	if r.Range != nil && req.key.Props.Checksum.EnableReadRange {
		return fastpath.Slow
	}
	if err := t.store.OpenInto(c.Context(), req.key, &q.reader); err != nil {
		if t.mayHaveLeft(q, err) || slicesMayHelp(req.key, err) {
			return fastpath.Slow
		}
		return c.Fail(t.done(metrics.Get, req, err))
	}
	part := &q.content
	if err := part.choose(string(r.Range), &q.reader); err != nil {
		value, _ := httprange.UnsatisfiedContentRange(err, q.reader.Size)
		return t.refuseFast(c, q, err, value)
	}
	if err := q.reader.Prepare(c.Context(), part.start, part.length); err != nil {
		return t.refuseFast(c, q, err, "")
	}
	q.reader.Touch()
	var outcome fastpath.Outcome
	var err error
	if t.readsWhole(part) {
		outcome, err = t.replyWhole(c, q)
	} else {
		outcome, err = t.replyFiles(c, q)
	}
	switch {
	case err != nil && outcome == fastpath.Broken:
		_ = t.done(metrics.Get, req, err) // it is counted; nobody can be told
		t.logger.Warn("answer broken off", "object", req.key.Cname(), "err", err)
		return outcome
	case err != nil:
		return c.Fail(t.done(metrics.Get, req, err))
	}
	t.metrics.Done(metrics.Get, req.key.Bck, part.length, time.Since(req.began))
	if req.marker.Sent > 0 {
		t.metrics.Redirected(metrics.Get, time.Duration(req.began.UnixNano()-req.marker.Sent))
	}
	return outcome
}

// refuseFast closes the object, of which nothing was read, and answers with an
// error. contentRange is the value of that field, "" without one.
func (t *Target) refuseFast(c *fastpath.Conn, q *fastRequest, err error, contentRange string) fastpath.Outcome {
	_ = q.reader.Close() // the other error is the one to report
	err = t.done(metrics.Get, &q.objectRequest, err)
	if contentRange == "" {
		return c.Fail(err)
	}
	return c.FailWith(err, wire.HeaderContentRange, contentRange)
}

// header makes the header of a read.
func (q *fastRequest) header(c *fastpath.Conn, dst []byte) []byte {
	status := "200 OK"
	if q.content.ranged {
		status = "206 Partial Content"
	}
	q.set.raw = c.AppendStatus(dst, status)
	q.content.begin(&q.set, &q.reader.Attrs)
	header := append(q.set.raw, '\r', '\n')
	q.set.raw = nil
	return header
}

// headerRoom is how many bytes a header usually needs.
const headerRoom = 512

// replyWhole sends header and content in one write, from one buffer if both
// fit. The content is read before the answer begins, so that a failed read is
// an error and not a broken connection.
func (t *Target) replyWhole(c *fastpath.Conn, q *fastRequest) (fastpath.Outcome, error) {
	defer func() { _ = q.reader.Close() }() // the name counts as being read until the answer is out
	part := &q.content
	buf := t.memory.Get(headerRoom + part.length)
	defer buf.Free()
	slab := buf.Bytes()
	header := q.header(c, slab[:0])
	var whole, body []byte
	if n := int64(len(header)); n+part.length <= int64(len(slab)) {
		body, whole = slab[n:n+part.length], slab[:n+part.length]
	} else {
		body = make([]byte, part.length) // the header has moved away: it is a long one
	}
	if part.length > 0 {
		if _, err := q.reader.ReadAt(body, part.start); err != nil {
			return 0, t.readFailed(&q.reader, err)
		}
	}
	if err := q.reader.File.Close(); err != nil {
		return 0, t.readFailed(&q.reader, err)
	}
	var outcome fastpath.Outcome
	if whole != nil {
		outcome = c.Reply(whole, nil)
	} else {
		outcome = c.Reply(header, body)
	}
	if outcome == fastpath.Broken {
		t.metrics.HTTPWriteFailed()
	}
	return outcome, nil
}

// replyFiles sends the content by sendfile, one file after the other. The answer
// begins when the first of them is open. What fails later goes on from another
// place of the content, and shows as a connection that ends before the announced
// length if there is none.
func (t *Target) replyFiles(c *fastpath.Conn, q *fastRequest) (outcome fastpath.Outcome, err error) {
	part := &q.content
	defer func() { _ = q.reader.Close() }() // was only read
	if q.reader.IsChunked() {
		err = t.replySegments(c, q, part.start, part.length, &outcome)
	} else {
		gate := q.reader.Mountpath.GateOf(q.reader.File)
		outcome, err = c.ReplyFile(q.header(c, c.Header()), q.reader.Fd(), gate, part.start, part.length)
		if cause := unreadable(err); cause != nil {
			_ = q.reader.Unreadable(cause) // it is logged
			sent := c.FileSent()
			err = t.replySegments(c, q, part.start+sent, part.length-sent, &outcome)
		}
	}
	var network *net.OpError
	switch {
	case err == nil:
		return outcome, nil
	case errors.As(err, &network), errors.Is(err, net.ErrClosed):
		t.metrics.HTTPWriteFailed()
		return outcome, nil
	}
	return outcome, t.readFailed(&q.reader, err)
}

// unreadable is why a file could not be sent to its end, if that is not the
// client's doing.
func unreadable(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return fastpath.FileError(err)
}

// replySegments sends what lies in several files, or has to go on elsewhere. The
// header goes first if nothing was sent yet: outcome is Slow.
func (t *Target) replySegments(c *fastpath.Conn, q *fastRequest, start, length int64, outcome *fastpath.Outcome) error {
	err := q.reader.Segments(c.Context(), start, length, func(s core.Segment) (sent int64, failed, err error) {
		switch {
		case s.File == nil:
			out := &sender{c: c, q: q, outcome: *outcome}
			sent, failed, err = sendBody(out, s)
			if *outcome = out.outcome; *outcome != fastpath.Slow && failed != nil {
				*outcome = fastpath.Broken
			}
			return sent, failed, err
		case *outcome == fastpath.Slow:
			*outcome, err = c.ReplyFile(q.header(c, c.Header()), s.File.Fd(), s.Gate(), s.Offset, s.Length)
		default:
			*outcome, err = c.SendFile(s.File.Fd(), s.Gate(), s.Offset, s.Length)
		}
		if failed = unreadable(err); failed != nil {
			err = nil
		}
		return c.FileSent(), failed, err
	})
	if err != nil && *outcome == fastpath.Served {
		*outcome = fastpath.Broken // between two files
	}
	return err
}

// sender writes content to a connection, after the header if nothing was sent yet.
type sender struct {
	c       *fastpath.Conn
	q       *fastRequest
	outcome fastpath.Outcome
}

// Write implements io.Writer.
func (s *sender) Write(p []byte) (n int, err error) {
	if s.outcome == fastpath.Slow {
		if s.outcome, err = s.c.SendBytes(s.q.header(s.c, s.c.Header())); err != nil {
			return 0, err
		}
	}
	if s.outcome, err = s.c.SendBytes(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// headFast is headObject.
func (t *Target) headFast(c *fastpath.Conn, q *fastRequest) fastpath.Outcome {
	req := &q.objectRequest
	if req.isDirectory() || req.key.Props.EC.Enabled { // the latter shows more
		return fastpath.Slow
	}
	attrs, err := t.store.Head(c.Context(), req.key)
	if err != nil {
		if t.mayHaveLeft(q, err) {
			return fastpath.Slow
		}
		return c.Fail(t.done(metrics.Head, req, err))
	}
	q.set.raw = c.AppendStatus(c.Header(), "200 OK")
	t.headAll(&q.set, req, &attrs)
	header := append(q.set.raw, '\r', '\n')
	q.set.raw = nil
	outcome := c.Reply(header, nil)
	t.metrics.Done(metrics.Head, req.key.Bck, 0, time.Since(req.began))
	return outcome
}

// putFast is putObject.
func (t *Target) putFast(c *fastpath.Conn, r *fastpath.Request, q *fastRequest) fastpath.Outcome {
	req := &q.objectRequest
	opts, err := putOptions(&q.simple.Query, r.ContentLength, string(r.ChecksumType), string(r.ChecksumValue))
	if err != nil || t.store.Room(req.key, opts.Size) != nil {
		return fastpath.Slow
	}
	if !c.BodyReady() {
		return c.Await()
	}
	attrs, err := t.store.Put(c.Context(), req.key, c.Body(), opts)
	if err != nil {
		return c.Fail(t.done(metrics.Put, req, err))
	}
	q.set.raw = c.AppendStatus(c.Header(), "200 OK")
	q.set.attributes(&attrs)
	header := append(q.set.raw, wire.HeaderContentLength+": 0\r\n\r\n"...)
	q.set.raw = nil
	outcome := c.Reply(header, nil)
	t.metrics.Done(metrics.Put, req.key.Bck, opts.Size, time.Since(req.began))
	if req.marker.Sent > 0 {
		t.metrics.Redirected(metrics.Put, time.Duration(req.began.UnixNano()-req.marker.Sent))
	}
	return outcome
}
