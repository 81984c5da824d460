package objreq

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/trust"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// RetryAfter is when a client should come back that asked for a name whose
// owner does not answer: about the time in which it returns or is declared out.
const RetryAfter = 5 * time.Second

// Header values that never change are shared by all answers.
var (
	htmlType   = []string{wire.ContentHTMLUTF8}
	zeroLength = []string{"0"}
)

// scratch holds unique names and locations under construction.
var scratch = sync.Pool{New: func() any {
	b := make([]byte, 0, 2<<10)
	return &b
}}

// Owner returns the target that owns the name in this map; the error is that
// of a map without active targets. It does not allocate.
func Owner(smap *meta.Smap, bck wire.Bck, object string) (*meta.Snode, error) {
	buf := scratch.Get().(*[]byte)
	uname := bck.AppendUname((*buf)[:0], object)
	owner, err := smap.Owner(hrw.DigestBytes(uname))
	*buf = uname
	scratch.Put(buf)
	return owner, err
}

// NextLive returns, of the targets that are not down, the one that would own
// the name if the others did not exist; nil if all are down.
func NextLive(smap *meta.Smap, bck wire.Bck, object string, isDown func(id string) bool) *meta.Snode {
	return smap.OwnerExcept(hrw.Digest(bck.Uname(object)), isDown)
}

// Request is what is redirected.
type Request struct {
	Bck      wire.Bck
	Object   string      // its true name
	Path     string      // its name as the client wrote it; "": its native form
	Provider string      // to append to the query, "": nothing
	NodeID   string      // who redirects
	Smap     *meta.Smap  // by which
	Owner    *meta.Snode // and to whom
	Now      time.Time   // when the request arrived
	Ring     *trust.Ring // signs the marker; nil or empty: it is not signed
}

// Reaches tells that the owner's address is of use to a client, which came over
// loopback or not.
func (req *Request) Reaches(fromLoopback bool) bool {
	return fromLoopback || !isLoopback(req.Owner.Public.Host)
}

// AppendLocation appends the address of the owner; rawQuery is the query of
// the request.
func (req *Request) AppendLocation(dst []byte, rawQuery string) []byte {
	path := req.Path
	if path == "" {
		path = naming.Native(req.Object)
	}
	buf := scratch.Get().(*[]byte)
	uname := req.Bck.AppendUname((*buf)[:0], req.Object) // which the signature covers
	to := location{
		base: req.Owner.Public.URL, bucket: req.Bck.Name, object: path, query: rawQuery, provider: req.Provider,
		nodeID: req.NodeID, smapVersion: req.Smap.Version, now: req.Now, uname: uname, ring: req.Ring,
	}
	dst = to.appendTo(dst)
	*buf = uname
	scratch.Put(buf)
	return dst
}

// Send answers with the address of the owner: 301 for GET, 307 for all else,
// so that clients keep method and body. The body is left alone until the
// answer is out. A loopback address is handed only to clients that came over
// loopback themselves.
func Send(w http.ResponseWriter, r *http.Request, req *Request) error {
	if !req.Reaches(isLoopbackAddr(r.RemoteAddr)) {
		return apierr.New(http.StatusServiceUnavailable, "",
			"%s advertises %s, a loopback address, which is of no use to %s: its host_net.hostname must be configured",
			req.Owner, req.Owner.Public.URL, r.RemoteAddr)
	}
	buf := scratch.Get().(*[]byte)
	*buf = req.AppendLocation((*buf)[:0], r.URL.RawQuery)
	value := string(*buf)
	scratch.Put(buf)

	header := w.Header()
	header[wire.HeaderLocation] = []string{value}
	header[wire.HeaderContentLength] = zeroLength
	status := http.StatusTemporaryRedirect
	switch r.Method {
	case http.MethodGet:
		status = http.StatusMovedPermanently
		header[wire.HeaderContentType] = htmlType
	case http.MethodHead:
		header[wire.HeaderContentType] = htmlType
	}
	Early(w, r)
	w.WriteHeader(status)
	return nil
}

// isLoopback tells that a host name or address means the machine itself.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasPrefix(host, "127.") {
		return true
	}
	if strings.IndexByte(host, ':') < 0 {
		return false
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// isLoopbackAddr is isLoopback of an address with a port.
func isLoopbackAddr(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && isLoopback(host)
}
