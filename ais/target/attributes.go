package target

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/ais/node/fastpath"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core"
)

// Header values that never change are shared by all answers.
var (
	binaryType  = []string{wire.ContentBinary}
	acceptBytes = []string{"bytes"}
	zeroLength  = []string{"0"}
	isPresent   = []string{"true"}
	oneCopy     = []string{"1"}
)

// headers sets headers of one answer: of an http.ResponseWriter, or in the
// bytes that the loop sends. Keys are canonical already. In the first case all
// values share one allocation, in the second nothing is allocated.
type headers struct {
	h      http.Header // nil: raw is appended to
	raw    []byte
	values [12]string
	used   int
}

func newHeaders(w http.ResponseWriter) *headers { return &headers{h: w.Header()} }

// set sets a header to one value.
func (s *headers) set(key, value string) {
	switch {
	case s.h == nil:
		s.raw = fastpath.AppendField(s.raw, key, value)
	case s.used == len(s.values):
		s.h[key] = []string{value}
	default:
		s.values[s.used] = value
		s.h[key] = s.values[s.used : s.used+1 : s.used+1]
		s.used++
	}
}

// setInt sets a header to a number.
func (s *headers) setInt(key string, value int64) {
	if s.h != nil {
		s.set(key, strconv.FormatInt(value, 10))
		return
	}
	s.raw = append(append(s.raw, key...), ':', ' ')
	s.raw = append(strconv.AppendInt(s.raw, value, 10), '\r', '\n')
}

// setAll sets a header to values that are not changed afterwards.
func (s *headers) setAll(key string, values []string) {
	if s.h != nil {
		s.h[key] = values
		return
	}
	for _, value := range values {
		s.set(key, value)
	}
}

// attributes sets what GET, PUT and HEAD tell of an object.
func (s *headers) attributes(a *core.Attrs) {
	s.checksum(a.Checksum)
	s.atime(a)
	s.version(a)
	s.custom(a, true)
}

func (s *headers) checksum(sum cksum.Value) {
	if !sum.IsNone() {
		s.set(wire.HeaderObjChecksumType, sum.Type)
		s.set(wire.HeaderObjChecksumValue, sum.Value)
	}
}

func (s *headers) atime(a *core.Attrs) {
	if a.Atime != 0 {
		s.setInt(wire.HeaderObjAtime, a.Atime)
	}
}

func (s *headers) version(a *core.Attrs) {
	if a.Version != "" {
		s.set(wire.HeaderObjVersion, a.Version)
	}
}

// custom sets one line for each pair, and, if wanted, the ETag that a backend
// gave.
func (s *headers) custom(a *core.Attrs, withETag bool) {
	if len(a.Custom) == 0 {
		return
	}
	lines := make([]string, len(a.Custom))
	for i, kv := range a.Custom {
		lines[i] = kv.Key + "=" + kv.Value
		if withETag && kv.Key == core.CustomETag {
			s.set(wire.HeaderETag, quoted(kv.Value))
		}
	}
	s.setAll(wire.HeaderObjCustomMD, lines)
}

// etag is the entity tag of an object as headers have it, "" if there is none.
func etag(a *core.Attrs) string {
	if tag := a.ETag(); tag != "" {
		return quoted(tag)
	}
	return ""
}

func quoted(tag string) string { return `"` + strings.Trim(tag, `"`) + `"` }

// lastModified is a time as the header Last-Modified has it.
func lastModified(nanoseconds int64) string {
	return time.Unix(0, nanoseconds).UTC().Format(http.TimeFormat)
}
