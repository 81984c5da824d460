package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/feature"
)

// Put stores an object: body is read to its end (or to Size bytes, after which
// it must end), checked, and made visible at once under its name. When Put
// returns nil the object is on stable storage if the bucket's durability says
// so. After any error the previous object is there, whole, and nothing else is
// left; only an error of the last flush leaves it open whether the old or the
// new object survives a loss of power.
//
// A body that the object already holds (the client's checksum is the stored
// one, and the body has it) changes nothing; its attributes are returned.
//
// Errors: 400 bad name, checksum type, custom metadata, or a longer body than
// announced; 404 no such bucket; 412 a condition is not met; 500 BAD DATA CHECKSUM, a body that is shorter
// or breaks off, I/O; 503 the mountpath is busy, another target that may hold the
// name does not answer; 507 out of space.
func (s *Store) Put(ctx context.Context, key Key, body io.Reader, opts PutOptions) (Attrs, error) {
	o, err := s.resolve(key)
	if err != nil {
		return Attrs{}, err
	}
	if err := checkPut(&o, &opts); err != nil {
		return Attrs{}, err
	}
	if err := o.room(opts.Size); err != nil {
		return Attrs{}, err
	}
	w := s.writes.Get().(*write)
	*w = write{s: s, object: o, opts: opts, sync: key.Props.SyncWrites()}
	defer func() {
		w.discard()
		*w = write{}
		s.writes.Put(w)
	}()
	return w.put(ctx, body)
}

// put receives a body and makes it the object of its name, unless it is known
// before that the conditions are not met.
func (w *write) put(ctx context.Context, body io.Reader) (Attrs, error) {
	if err := w.askEarlier(ctx); err != nil {
		return Attrs{}, err
	}
	if err := w.precheck(ctx); err != nil {
		return Attrs{}, err
	}
	if err := w.receive(ctx, body); err != nil {
		return Attrs{}, w.fail(err)
	}
	attrs, err := w.commit(ctx)
	if err != nil {
		return Attrs{}, w.fail(err)
	}
	return attrs, nil
}

// checkPut refuses what is wrong before any byte is read, and normalizes the
// options.
func checkPut(o *object, opts *PutOptions) error {
	if err := o.CheckWritable(); err != nil {
		return err
	}
	if err := ValidateCustom(opts.Custom); err != nil {
		return err
	}
	if kind := opts.Checksum.Type; kind != "" {
		if err := cksum.Validate(kind); err != nil {
			return apierr.BadRequest("%v", err)
		}
	}
	if opts.Size < -1 {
		return apierr.BadRequest("invalid size %d", opts.Size)
	}
	if opts.Checksum.IsNone() || o.Props.Checksum.Type == cksum.None {
		opts.Checksum = cksum.Value{}
	}
	opts.SkipVC = opts.SkipVC || o.Props.Features&feature.SkipVersionChecksumMD != 0
	return o.canBeRedundant()
}

// fail turns an error of a step into what a client sees.
func (w *write) fail(err error) error {
	var typed *apierr.Error
	switch {
	case errors.As(err, &typed):
		return err
	case errors.Is(err, fs.ErrNotExist):
		// Only the bucket's own directories can be missing: it was
		// destroyed meanwhile.
		if w.s.bucket(w.Bck, w.Props) != w.bucket {
			return apierr.BucketNotFound(w.Bck)
		}
		return apierr.Wrap(err, apierr.StatusInternalServerError, "", "PUT %s", w.Cname())
	}
	return w.mp.IOError("PUT "+w.Cname(), err)
}

// badBody is the error of a body that is not what was announced.
func badBody(o *object, cause error, format string, args ...any) error {
	var typed *apierr.Error
	if errors.As(cause, &typed) {
		return cause
	}
	e := apierr.New(apierr.StatusInternalServerError, "", "PUT %s: %s", o.Cname(), fmt.Sprintf(format, args...))
	if cause != nil && !errors.Is(cause, io.EOF) {
		e.Message += ": " + cause.Error()
	}
	e.Cause = cause
	return e
}
