package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// fakeCluster is one proxy and some targets as the REST API shows them.
type fakeCluster struct {
	t     *testing.T
	proxy *httptest.Server
	smap  atomic.Pointer[meta.Smap]

	lock    sync.Mutex
	targets map[string]*fakeTarget
	log     []seen                                                         // requests in order
	hook    func(node string, w http.ResponseWriter, r *http.Request) bool // true: answered
}

type seen struct {
	node, method, path, query string
	header                    http.Header
	body                      int64 // bytes received, -1: not read
}

type fakeTarget struct {
	id      string
	server  *httptest.Server
	cluster *fakeCluster
	lock    sync.Mutex
	objects map[string]fakeObject
}

type fakeObject struct {
	data   []byte
	custom []string
}

func newFakeCluster(t *testing.T, targets ...string) *fakeCluster {
	t.Helper()
	f := &fakeCluster{t: t, targets: map[string]*fakeTarget{}}
	f.proxy = httptest.NewServer(http.HandlerFunc(f.serveProxy))
	t.Cleanup(f.proxy.Close)
	for _, id := range targets {
		target := &fakeTarget{id: id, cluster: f, objects: map[string]fakeObject{}}
		target.server = httptest.NewServer(http.HandlerFunc(target.serve))
		t.Cleanup(target.server.Close)
		f.targets[id] = target
	}
	f.publish(1, targets...)
	return f
}

// publish makes a map of the given targets the current one.
func (f *fakeCluster) publish(version int64, targets ...string) {
	net := func(address string) meta.NetInfo {
		u, _ := url.Parse(address)
		return meta.NetInfo{Host: u.Hostname(), Port: u.Port(), URL: address}
	}
	primary := meta.NewSnode("proxyAAA1", meta.RoleProxy, net(f.proxy.URL), net(f.proxy.URL), net(f.proxy.URL))
	smap := &meta.Smap{
		Pmap: map[string]*meta.Snode{primary.ID: primary}, Tmap: map[string]*meta.Snode{}, Primary: primary,
		UUID: "clusterUUID1", Created: "2026-01-01 00:00:00", Version: version,
	}
	for _, id := range targets {
		address := net(f.targets[id].server.URL)
		smap.Tmap[id] = meta.NewSnode(id, meta.RoleTarget, address, address, address)
	}
	f.smap.Store(smap.Freeze())
}

func (f *fakeCluster) client(t *testing.T, change func(*api.Options)) *api.Client {
	t.Helper()
	options := api.Options{URL: f.proxy.URL, UserAgent: "test/1"}
	if change != nil {
		change(&options)
	}
	c, err := api.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (f *fakeCluster) record(node string, r *http.Request, body int64) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.log = append(f.log, seen{node: node, method: r.Method, path: r.URL.Path, query: r.URL.RawQuery, header: r.Header.Clone(), body: body})
}

func (f *fakeCluster) requests() []seen {
	f.lock.Lock()
	defer f.lock.Unlock()
	return append([]seen(nil), f.log...)
}

func (f *fakeCluster) forget() {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.log = nil
}

func (f *fakeCluster) setHook(hook func(string, http.ResponseWriter, *http.Request) bool) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.hook = hook
}

func (f *fakeCluster) hooked(node string, w http.ResponseWriter, r *http.Request) bool {
	f.lock.Lock()
	hook := f.hook
	f.lock.Unlock()
	return hook != nil && hook(node, w, r)
}

// fail writes an error as a node does.
func fail(w http.ResponseWriter, r *http.Request, status int, code, format string, args ...any) {
	body, _ := json.Marshal(wire.ErrorBody{
		TypeCode: code, Message: fmt.Sprintf(format, args...), Method: r.Method, URLPath: r.URL.Path, Status: status, Node: "t[x]",
	})
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodHead {
		w.Header().Set(wire.HeaderError, string(body))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n'))
	}
}

// objectOf returns bucket and name of an object path.
func objectOf(r *http.Request) (wire.Bck, string) {
	pieces := strings.SplitN(strings.TrimLeft(r.URL.Path, "/"), "/", 4)
	for len(pieces) < 4 {
		pieces = append(pieces, "")
	}
	q := r.URL.Query()
	return wire.Bck{Name: pieces[2], Provider: q.Get("provider"), Ns: wire.ParseNs(q.Get("namespace"))}, pieces[3]
}

func (f *fakeCluster) serveProxy(w http.ResponseWriter, r *http.Request) {
	f.record("proxy", r, -1)
	if f.hooked("proxy", w, r) {
		return
	}
	switch {
	case r.URL.Path == wire.PathDaemon && r.URL.Query().Get("what") == "smap":
		data, _ := f.smap.Load().Encode()
		_, _ = w.Write(data)
	case r.URL.Path == wire.PathHealth:
		w.Header().Set(wire.HeaderClusterUptime, "3000000000")
	case strings.HasPrefix(r.URL.Path, wire.PathObjects+"/"):
		f.redirect(w, r)
	default:
		fail(w, r, http.StatusBadRequest, "", "invalid request URI: %q", r.Method+" "+r.URL.Path)
	}
}

func (f *fakeCluster) redirect(w http.ResponseWriter, r *http.Request) {
	smap := f.smap.Load()
	bck, name := objectOf(r)
	owner, err := smap.Owner(hrw.Digest(bck.Uname(name)))
	if err != nil {
		fail(w, r, http.StatusBadRequest, wire.CodeNoNodes, "no targets")
		return
	}
	status := http.StatusTemporaryRedirect
	if r.Method == http.MethodGet {
		status = http.StatusMovedPermanently
	}
	location := owner.Public.URL + r.URL.EscapedPath() + "?" + r.URL.RawQuery + "&pid=proxyAAA1&utm=k2j4&vpams=" + strconv.FormatInt(smap.Version, 36)
	w.Header().Set("Location", location)
	w.WriteHeader(status)
}

func (f *fakeTarget) serve(w http.ResponseWriter, r *http.Request) {
	if f.cluster.hooked(f.id, w, r) {
		f.cluster.record(f.id, r, -1)
		return
	}
	q := r.URL.Query()
	marked := q.Get("pid") != "" && q.Get("utm") != ""
	write := r.Method != http.MethodGet && r.Method != http.MethodHead
	if write && !marked && r.Header.Get(wire.HeaderSmapVersion) == "" {
		f.cluster.record(f.id, r, -1)
		fail(w, r, http.StatusBadRequest, "", "t[%s]: %s(obj) is expected to be redirected", f.id, r.Method)
		return
	}
	bck, name := objectOf(r)
	if owner, err := f.cluster.smap.Load().Owner(hrw.Digest(bck.Uname(name))); err == nil && owner.ID != f.id && !marked {
		f.cluster.record(f.id, r, -1)
		f.cluster.redirect(w, r)
		return
	}
	f.execute(w, r, bck.Cname(name))
}

func (f *fakeTarget) execute(w http.ResponseWriter, r *http.Request, cname string) {
	f.lock.Lock()
	defer f.lock.Unlock()
	object, found := f.objects[cname]
	if r.Method != http.MethodPut && !found {
		f.cluster.record(f.id, r, -1)
		fail(w, r, http.StatusNotFound, wire.CodeNotFound, "t[%s]: %s does not exist", f.id, cname)
		return
	}
	switch r.Method {
	case http.MethodPut:
		data, err := io.ReadAll(r.Body)
		f.cluster.record(f.id, r, int64(len(data)))
		if err != nil {
			fail(w, r, http.StatusInternalServerError, "", "%v", err)
			return
		}
		if kind := r.Header.Get(wire.HeaderObjChecksumType); kind != "" {
			given := cksum.Value{Type: kind, Value: r.Header.Get(wire.HeaderObjChecksumValue)}
			if computed, _ := cksum.Of(kind, data); computed != given {
				fail(w, r, http.StatusInternalServerError, wire.CodeBadChecksum, "BAD DATA CHECKSUM: %s(%s != %s)", kind, given.Value, computed.Value)
				return
			}
		}
		f.objects[cname] = fakeObject{data: data, custom: r.Header[wire.HeaderObjCustomMD]}
		f.attributes(w, f.objects[cname])
	case http.MethodGet:
		f.cluster.record(f.id, r, -1)
		f.attributes(w, object)
		data, status := object.data, http.StatusOK
		if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			first, last, _ := strings.Cut(text, "-")
			from, _ := strconv.Atoi(first)
			to := len(data) - 1
			if last != "" {
				to, _ = strconv.Atoi(last)
			}
			data, status = data[from:min(to+1, len(data))], http.StatusPartialContent
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.WriteHeader(status)
		_, _ = w.Write(data)
	case http.MethodHead:
		f.cluster.record(f.id, r, -1)
		f.attributes(w, object)
		w.Header().Set("Content-Length", strconv.Itoa(len(object.data)))
		w.Header().Set(wire.HeaderObjPresent, "true")
	case http.MethodDelete:
		f.cluster.record(f.id, r, -1)
		delete(f.objects, cname)
	}
}

func (f *fakeTarget) attributes(w http.ResponseWriter, object fakeObject) {
	sum, _ := cksum.Of(cksum.XXHash2, object.data)
	w.Header().Set(wire.HeaderObjChecksumType, sum.Type)
	w.Header().Set(wire.HeaderObjChecksumValue, sum.Value)
	w.Header().Set(wire.HeaderObjVersion, "1")
	w.Header().Set(wire.HeaderObjAtime, "1767225600000000000")
	w.Header()[wire.HeaderObjCustomMD] = object.custom
}
