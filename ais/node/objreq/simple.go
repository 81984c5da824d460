package objreq

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/aistore-go/aistore/ais/node/fastpath"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Simple is a read, probe or write of one object in its usual form, as it
// comes to the loop: nothing in its query but the bucket and the marker of a
// redirect.
type Simple struct {
	Method   string
	Bck      wire.Bck
	Path     string // the object's name as the client wrote it, decoded
	Object   string // its true name
	RawQuery string
	Query    query.Values
}

const objectsPrefix = wire.PathObjects + "/"

// Parse reads a request; false: it is not simple, or not right. All its
// strings are copies. It allocates once, unless the name is escaped.
func (s *Simple) Parse(r *fastpath.Request) bool {
	if len(r.Path) <= len(objectsPrefix) || string(r.Path[:len(objectsPrefix)]) != objectsPrefix {
		return false
	}
	target := string(r.Target)
	bucket, object, _ := strings.Cut(target[len(objectsPrefix):len(r.Path)], "/")
	if bucket == "" || object == "" || strings.IndexByte(bucket, '%') >= 0 {
		return false
	}
	s.RawQuery = ""
	if len(r.Path) < len(target) {
		s.RawQuery = target[len(r.Path)+1:]
	}
	var err error
	if strings.IndexByte(object, '%') >= 0 {
		if object, err = url.PathUnescape(object); err != nil {
			return false
		}
	}
	s.Path = object
	if s.Object, err = naming.True(object); err != nil {
		return false
	}
	if s.Query, err = query.Parse(s.RawQuery); err != nil {
		return false
	}
	for name := range s.Query.All() {
		switch name {
		case wire.QuerySkipVC: // of a PUT; elsewhere it says nothing
		case wire.QueryProvider, wire.QueryNamespace, wire.QueryRedirectProxyID, wire.QueryRedirectUnixTime, wire.QueryRedirectMapAndSig:
		default:
			return false
		}
	}
	s.Bck, err = s.Query.Bck(bucket)
	s.Method = methodNames[r.Method]
	return err == nil && s.Method != ""
}

var methodNames = [...]string{fastpath.Get: http.MethodGet, fastpath.Head: http.MethodHead, fastpath.Put: http.MethodPut}
