package target

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// putObject stores the body as the object and answers with its attributes.
// Everything that can be refused without the body is refused before it is read.
func (t *Target) putObject(w http.ResponseWriter, r *http.Request, req *objectRequest) error {
	opts, err := putOptions(&req.query, r.ContentLength, first(r.Header[wire.HeaderObjChecksumType]), first(r.Header[wire.HeaderObjChecksumValue]))
	if err != nil {
		return err
	}
	if err := moreOptions(&opts, r.Header); err != nil {
		return err
	}
	if err := t.store.Room(req.key, opts.Size); err != nil {
		return err
	}
	if err := t.staying(req.key); err != nil {
		return err
	}
	body := &countingBody{r: r.Body}
	attrs, err := t.store.Put(r.Context(), req.key, body, opts)
	if err != nil {
		return err
	}
	set := newHeaders(w)
	set.attributes(&attrs)
	set.setAll(wire.HeaderContentLength, zeroLength)
	delete(set.h, "Connection") // the body has been read to its end: no reason to close
	w.WriteHeader(http.StatusOK)
	t.metrics.Done(metrics.Put, req.key.Bck, body.read, time.Since(req.began))
	if req.marker.Sent > 0 {
		t.metrics.Redirected(metrics.Put, time.Duration(req.began.UnixNano()-req.marker.Sent))
	}
	return nil
}

// maxVersion bounds the version that a client names, in bytes.
const maxVersion = 256

// putOptions is what every PUT may say of the object: its size, -1 if that is
// not known, and its checksum, "" for none.
func putOptions(q *query.Values, size int64, sumType, sum string) (core.PutOptions, error) {
	opts := core.PutOptions{Size: size, SkipVC: q.Bool(wire.QuerySkipVC)}
	switch {
	case sumType == "" && sum != "":
		return opts, errNoChecksumType()
	case sumType != "":
		if err := cksum.Validate(sumType); err != nil {
			return opts, apierr.BadRequest("header %s: %v", wire.HeaderObjChecksumType, err)
		}
		opts.Checksum = cksum.Value{Type: sumType, Value: sum}
	}
	return opts, nil
}

// moreOptions reads the headers that are rare: version and custom metadata.
func moreOptions(opts *core.PutOptions, header http.Header) error {
	opts.Version = first(header[wire.HeaderObjVersion])
	if len(opts.Version) > maxVersion {
		return apierr.BadRequest("header %s: %d bytes, at most %d are taken", wire.HeaderObjVersion, len(opts.Version), maxVersion)
	}
	lines := header[wire.HeaderObjCustomMD]
	if len(lines) == 0 {
		return nil
	}
	opts.Custom = make([]core.KV, len(lines))
	for i, line := range lines {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return apierr.BadRequest("custom metadata: invalid format %.64q, expecting key=value", line)
		}
		opts.Custom[i] = core.KV{Key: key, Value: value}
	}
	return core.ValidateCustom(opts.Custom)
}

// errNoChecksumType refuses a checksum that cannot be compared: its sender would
// take what arrived for verified.
func errNoChecksumType() error {
	return apierr.BadRequest("header %s is missing, and %s is not", wire.HeaderObjChecksumType, wire.HeaderObjChecksumValue)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// countingBody counts what was read of a body.
type countingBody struct {
	r    io.Reader
	read int64
}

// Read implements io.Reader.
func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.read += int64(n)
	return n, err
}
