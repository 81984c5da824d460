package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Path is a request's path in at most four pieces: version, resource, bucket
// and, verbatim, all the rest, which is the object's name. Count tells how
// many there are; an empty last piece (a trailing slash) does not count.
type Path struct {
	Count int
	Items [4]string
}

// PathItems splits the decoded path of a request. Leading slashes are
// dropped; slashes in and before the object's name are kept. It does not
// allocate.
func PathItems(r *http.Request) Path {
	var p Path
	rest := strings.TrimLeft(r.URL.Path, "/")
	for p.Count < len(p.Items)-1 {
		item, tail, more := strings.Cut(rest, "/")
		p.Items[p.Count] = item
		rest = tail
		if item != "" || more {
			p.Count++
		}
		if !more {
			return p
		}
	}
	p.Items[p.Count] = rest
	if rest != "" {
		p.Count++
	}
	return p
}

// Require fails unless the path has at least so many pieces.
func (p Path) Require(count int) error {
	if p.Count >= count {
		return nil
	}
	return apierr.BadRequest("URL '%s' is too short: expected %d items, got %d",
		strings.Join(p.Items[:p.Count], "/"), count, p.Count)
}

// ItemsBelow returns the pieces of the path below a prefix such as
// "/v1/daemon", without empty ones. For control requests, whose paths hold no
// object names.
func ItemsBelow(r *http.Request, prefix string) []string {
	path := "/" + strings.TrimLeft(r.URL.Path, "/")
	rest := strings.TrimPrefix(path, prefix)
	return strings.FieldsFunc(rest, func(c rune) bool { return c == '/' })
}

// ActMsg is a decoded action message; Value is raw, see DecodeValue.
type ActMsg struct {
	Action string          `json:"action"`
	Name   string          `json:"name"`
	Value  json.RawMessage `json:"value"`
}

// ReadBody reads a request's body of at most limit bytes; a longer one is 413.
func ReadBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errBodyTooLarge(r, limit)
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(min(r.ContentLength, 1<<20)) + bytes.MinRead)
	}
	read, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	var typed *apierr.Error
	switch {
	case errors.As(err, &typed):
		return nil, err // it has stalled, or its signature is wrong
	case err != nil && errors.Is(err, io.ErrUnexpectedEOF):
		return nil, apierr.BadRequest("request body ends after %d of %d bytes", read, r.ContentLength)
	case err != nil:
		return nil, apierr.Wrap(err, http.StatusBadRequest, "", "read the request body")
	case read > limit:
		return nil, errBodyTooLarge(r, limit)
	}
	return buf.Bytes(), nil
}

// maxDiscard is how much of a body that is too long is read, so that a client
// that sends first and listens then gets the answer and not a reset.
const maxDiscard = 64 << 20

// errBodyTooLarge is the 413.
func errBodyTooLarge(r *http.Request, limit int64) *apierr.Error {
	_, _ = io.CopyN(io.Discard, r.Body, maxDiscard) // if this fails, so will the answer
	return apierr.New(http.StatusRequestEntityTooLarge, "", "request body is longer than %d bytes", limit)
}

// readBodyWithin is ReadBody with a bound on its time: a client may stall.
func readBodyWithin(w http.ResponseWriter, r *http.Request, limit int64, within time.Duration) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	conn := http.NewResponseController(w)
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return ReadBody(r, limit) // not a connection: nothing can stall
	}
	body, err := ReadBody(r, limit)
	if err == nil {
		err = conn.SetReadDeadline(time.Time{}) // else the deadline would end the answer's context, too
	}
	return body, err
}

// ReadActMsg reads and decodes an action message of at most limit bytes. Keys
// are matched in any case, unknown ones are ignored; an empty body is an error.
func ReadActMsg(r *http.Request, limit int64) (*ActMsg, error) {
	body, err := ReadBody(r, limit)
	if err != nil {
		return nil, err
	}
	return DecodeActMsg(body)
}

// DecodeActMsg decodes an action message that was read; see ReadActMsg.
func DecodeActMsg(body []byte) (*ActMsg, error) {
	msg := &ActMsg{}
	if err := decodeJSON(body, msg, false); err != nil {
		return nil, apierr.BadRequest("failed to unmarshal action message: %v", err)
	}
	return msg, nil
}

// DecodeValue decodes the value of an action message strictly: an unknown key
// is an error that names it. what names the value in messages. A missing or
// null value leaves dst as it is.
func DecodeValue(raw json.RawMessage, dst any, what string) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if err := decodeJSON(raw, dst, true); err != nil {
		return apierr.BadRequest("failed to unmarshal %s: %v", what, err)
	}
	return nil
}

func decodeJSON(data []byte, dst any, strict bool) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("empty body, expected a JSON object")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if strict {
		dec.DisallowUnknownFields()
	}
	if err := dec.Decode(dst); err != nil {
		return JSONProblem(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("unexpected text after the JSON value at byte %d", dec.InputOffset())
	}
	return nil
}

// JSONProblem words an error of encoding/json for a client, who knows nothing
// of the types that a JSON text is decoded into.
func JSONProblem(err error) error {
	var e *json.UnmarshalTypeError
	if !errors.As(err, &e) {
		return err
	}
	field := ""
	if e.Field != "" {
		field = strconv.Quote(e.Field) + ": "
	}
	return fmt.Errorf("%sa JSON %s does not fit (expecting %s)", field, e.Value, jsonKind(e.Type.Kind()))
}

// jsonKind is what a JSON text must hold for a type of Go.
func jsonKind(kind reflect.Kind) string {
	switch kind {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "a " + kind.String()
}
