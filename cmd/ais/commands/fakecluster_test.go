package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aistore-go/aistore/cmd/ais/settings"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/cksum"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// fakeCluster is a cluster in one handler, without redirects.
type fakeCluster struct {
	server   *httptest.Server
	lock     sync.Mutex
	buckets  map[wire.Bck]*meta.Bprops
	objects  map[wire.Bck]map[string][]byte
	starting int // requests that are still answered 503
	version  string
	fenced   string   // why tgtCCCCC3 may not serve
	dir      string   // configuration of the tool
	changes  []string // of mountpaths, with their queries
	setAside []wire.SetAside
	absent   []string                                          // targets that may be declared lost
	service  func(w http.ResponseWriter, r *http.Request) bool // true: answered
}

func newFakeCluster(t *testing.T) *fakeCluster {
	t.Helper()
	f := &fakeCluster{buckets: map[wire.Bck]*meta.Bprops{}, objects: map[wire.Bck]map[string][]byte{}, version: "5.0.abc", dir: t.TempDir()}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	return f
}

// result is what a command line did.
type result struct {
	out, err string
	code     int
}

// run executes "ais ..." with the given words and standard input.
func (f *fakeCluster) run(t *testing.T, input string, words ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	env := Environment{
		In: strings.NewReader(input), Out: &out, Err: &errOut, Build: Build{Commit: "abc1234", Time: "2026-01-01"},
		Getenv: func(name string) string {
			return map[string]string{settings.EnvEndpoint: f.server.URL, settings.EnvConfigDir: f.dir}[name]
		},
	}
	code := Run(context.Background(), env, append([]string{"ais"}, words...))
	return result{out.String(), errOut.String(), code}
}

// ok runs a command line that must succeed, and returns its output with runs
// of blanks as one.
func (f *fakeCluster) ok(t *testing.T, line string) string {
	t.Helper()
	r := f.run(t, "", strings.Fields(line)...)
	if r.code != 0 {
		t.Fatalf("ais %s: exit code %d, %s", line, r.code, r.err)
	}
	return squeeze(r.out)
}

// fails runs a command line that must fail, and returns stderr.
func (f *fakeCluster) fails(t *testing.T, line string) string {
	t.Helper()
	r := f.run(t, "", strings.Fields(line)...)
	if r.code != 1 {
		t.Fatalf("ais %s: exit code %d, out %s, err %s", line, r.code, r.out, r.err)
	}
	return r.err
}

func squeeze(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	return strings.Join(lines, "\n")
}

func (f *fakeCluster) serve(w http.ResponseWriter, r *http.Request) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.starting > 0 {
		f.starting--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if f.service != nil && f.service(w, r) {
		return
	}
	pieces := strings.SplitN(strings.TrimLeft(r.URL.Path, "/"), "/", 4)
	var err error
	switch {
	case r.URL.Path == wire.PathBuckets:
		f.listBuckets(w, r)
	case strings.HasPrefix(r.URL.Path, wire.PathBuckets+"/"):
		err = f.bucket(w, r, bucketOf(r, pieces[2]))
	case strings.HasPrefix(r.URL.Path, wire.PathObjects+"/") && len(pieces) == 4:
		err = f.object(w, r, bucketOf(r, pieces[2]), pieces[3])
	default:
		err = f.control(w, r)
	}
	if err != nil {
		body, _ := json.Marshal(wire.ErrorBody{TypeCode: apierr.CodeOf(err), Message: err.Error(), Status: apierr.StatusOf(err)})
		w.Header().Set(wire.HeaderError, string(body))
		w.WriteHeader(apierr.StatusOf(err))
		_, _ = w.Write(body)
	}
}

func bucketOf(r *http.Request, name string) wire.Bck {
	return wire.Bck{Name: name, Provider: r.URL.Query().Get("provider"), Ns: wire.ParseNs(r.URL.Query().Get("namespace"))}
}

func (f *fakeCluster) listBuckets(w http.ResponseWriter, r *http.Request) {
	list := []wire.Bck{}
	for b := range f.buckets {
		if p := r.URL.Query().Get("provider"); p == "" || p == b.Provider {
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(x, y wire.Bck) int { return strings.Compare(x.String(), y.String()) })
	data, _ := json.Marshal(list)
	_, _ = w.Write(data)
}

func (f *fakeCluster) bucket(w http.ResponseWriter, r *http.Request, b wire.Bck) error {
	props := f.buckets[b]
	if props == nil && r.Method != http.MethodPost {
		return apierr.BucketNotFound(b)
	}
	body, _ := io.ReadAll(r.Body)
	var msg struct {
		Action string          `json:"action"`
		Value  json.RawMessage `json:"value"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &msg); err != nil {
			return apierr.BadRequest("failed to unmarshal: %v", err)
		}
	}
	switch msg.Action {
	case "": // HEAD
		data, _ := json.Marshal(props)
		w.Header().Set(wire.HeaderBucketProps, string(data))
	case wire.ActCreateBucket, wire.ActSetBprops:
		if props != nil && msg.Action == wire.ActCreateBucket {
			return apierr.BucketExists(b)
		}
		if props == nil {
			props = meta.DefaultBprops(b, config.DefaultCluster())
			props.BID, props.Created = 77, 1767225600000000000
			f.objects[b] = map[string][]byte{}
		}
		set := new(meta.BpropsToSet)
		if len(msg.Value) > 0 && string(msg.Value) != "null" {
			if err := json.Unmarshal(msg.Value, set); err != nil {
				return err
			}
		}
		if err := props.Set(set); err != nil {
			return err
		}
		f.buckets[b] = props
	case wire.ActResetBprops:
		f.buckets[b] = meta.DefaultBprops(b, config.DefaultCluster())
	case wire.ActDestroyBucket:
		delete(f.buckets, b)
		delete(f.objects, b)
	case wire.ActList:
		return f.listObjects(w, b, msg.Value)
	default:
		return apierr.BadRequest("invalid action %q", msg.Action)
	}
	return nil
}

func (f *fakeCluster) listObjects(w http.ResponseWriter, b wire.Bck, value []byte) error {
	var msg wire.LsoMsg
	if err := json.Unmarshal(value, &msg); err != nil {
		return apierr.BadRequest("failed to unmarshal: %v", err)
	}
	nameOnly := msg.Flags.Has(wire.LsoNameOnly)
	page := wire.LsoPage{UUID: "uuid"}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(f.objects[b])) {
		if !strings.HasPrefix(name, msg.Prefix) || name <= msg.ContinuationToken || name <= msg.StartAfter {
			continue
		}
		entry := wire.LsoEntry{Name: name, Flags: wire.EntryPresent}
		if rest := name[len(msg.Prefix):]; msg.Flags.Has(wire.LsoNoRecursion) && strings.Contains(rest, "/") {
			dir, _, _ := strings.Cut(rest, "/")
			entry = wire.LsoEntry{Name: msg.Prefix + dir + "/", Flags: wire.EntryIsDir}
			if seen[entry.Name] {
				continue
			}
			seen[entry.Name] = true
		} else if !nameOnly {
			entry.Size = int64(len(f.objects[b][name]))
			if strings.Contains(msg.Props, "version") {
				entry.Version = "1"
			}
			if strings.Contains(msg.Props, "location") {
				entry.Location = "t[tgtAAAAA1]:mp[/tmp/mp1]"
			}
			if strings.Contains(msg.Props, "copies") {
				entry.Copies = 1
			}
		}
		page.Entries = append(page.Entries, entry)
		if int64(len(page.Entries)) == msg.PageSize {
			page.ContinuationToken = name
			break
		}
	}
	w.Header().Set("Content-Type", wire.ContentMsgpack)
	_, _ = w.Write(page.AppendMsgpack(nil))
	return nil
}

func (f *fakeCluster) object(w http.ResponseWriter, r *http.Request, b wire.Bck, name string) error {
	objects := f.objects[b]
	if objects == nil {
		return apierr.BucketNotFound(b)
	}
	data, found := objects[name]
	if !found && r.Method != http.MethodPut {
		return apierr.ObjectNotFound("t[tgtAAAAA1]: " + b.Cname(name))
	}
	switch r.Method {
	case http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		if kind := r.Header.Get(wire.HeaderObjChecksumType); kind != "" {
			computed, _ := cksum.Of(kind, body)
			if given := r.Header.Get(wire.HeaderObjChecksumValue); given != computed.Value {
				return apierr.BadChecksum(kind, given, computed.Value, b.Cname(name))
			}
		}
		objects[name] = body
	case http.MethodDelete:
		delete(objects, name)
	default:
		sum, _ := cksum.Of(cksum.XXHash2, data)
		w.Header().Set(wire.HeaderObjChecksumType, sum.Type)
		w.Header().Set(wire.HeaderObjChecksumValue, sum.Value)
		w.Header().Set(wire.HeaderObjAtime, "1767225600000000000")
		w.Header().Set(wire.HeaderObjPresent, "true")
		code := http.StatusOK
		if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			first, last, _ := strings.Cut(text, "-")
			from, _ := strconv.Atoi(first)
			to, _ := strconv.Atoi(last)
			data, code = data[from:min(to+1, len(data))], http.StatusPartialContent
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.WriteHeader(code)
		if r.Method == http.MethodGet {
			_, _ = w.Write(data)
		}
	}
	return nil
}

// smap has one proxy, two targets, of which tgtCCCCC3 does not answer.
func (f *fakeCluster) smap() *meta.Smap {
	u, _ := url.Parse(f.server.URL)
	net := meta.NetInfo{Host: u.Hostname(), Port: u.Port(), URL: f.server.URL}
	proxy := meta.NewSnode("proxyAAA1", meta.RoleProxy, net, net, net)
	target, gone := meta.NewSnode("tgtAAAAA1", meta.RoleTarget, net, net, net), meta.NewSnode("tgtCCCCC3", meta.RoleTarget, net, net, net)
	return (&meta.Smap{
		Pmap: map[string]*meta.Snode{proxy.ID: proxy}, Tmap: map[string]*meta.Snode{target.ID: target, gone.ID: gone},
		Primary: proxy, UUID: "Q1wErTy7U", Created: "2026-01-01 00:00:00", Version: 7,
	}).Freeze()
}

func (f *fakeCluster) control(w http.ResponseWriter, r *http.Request) error {
	var value any
	switch what := r.URL.Query().Get("what"); r.URL.Path + " " + what {
	case "/v1/daemon smap":
		value = f.smap()
	case "/v1/daemon bmd":
		var entries []meta.BucketEntry
		for b, p := range f.buckets {
			entries = append(entries, meta.BucketEntry{Bck: b, Props: p})
		}
		value = meta.NewBMD("Q1wErTy7U", 3, entries...)
	case "/v1/cluster cluster_config":
		value = config.DefaultCluster()
	case "/v1/cluster ":
		return f.declareLost(w, r)
	case "/v1/cluster placement":
		value = &wire.PlacementInfo{Version: 4, Holders: []string{"tgtAAAAA1", "tgtLLLLL4"}, Absent: f.absent, Lost: []string{}}
	case "/v1/cluster backends":
		value = []string{}
	case "/v1/health ":
		value = &wire.NodeStateInfo{Flags: wire.NodeStarted, Fenced: f.fenced}
	case "/v1/reverse/daemon smap":
		value = f.smap()
	case "/v1/reverse/daemon node_status":
		node := f.smap().Node(r.Header.Get(wire.HeaderNodeID))
		if node == nil || node.ID == "tgtCCCCC3" {
			w.WriteHeader(http.StatusBadGateway)
			return nil
		}
		value = f.status(node)
	case "/v1/reverse/daemon disk", "/v1/reverse/daemon mountpaths", "/v1/reverse/daemon/mountpaths ":
		return f.storage(w, r)
	default:
		return apierr.BadRequest("invalid request URI: '%s %s'", r.Method, r.URL)
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	_, _ = w.Write(data)
	return nil
}

func (f *fakeCluster) status(node *meta.Snode) *wire.NodeStatus[*meta.Snode] {
	s := &wire.NodeStatus[*meta.Snode]{
		NodeStats: wire.NodeStats[*meta.Snode]{Snode: node, Tracker: wire.NewTracker(map[string]int64{"up.ns.time": 3723e9})},
		Version:   f.version, BuildTime: "2026-01-01", Deployment: "linux", SmapVersion: 7,
		Cluster: wire.NodeStateInfo{Flags: wire.NodeHealthy},
		SysInfo: wire.MemCPU{MemUsed: 1 << 30, MemAvail: 15 << 30, PctMemUsed: 6.25, CPUUtil: 12},
	}
	if node.Role == meta.RoleTarget {
		disk := func(n int32) *wire.CDF {
			return &wire.CDF{FS: wire.FsInfo{FsID: wire.FsID{n, 0}}, Disks: []string{"nvme" + strconv.Itoa(int(n))}, Used: 1 << 30, Avail: 3 << 30}
		}
		s.Capacity = wire.Capacity{PctAvg: 25, Mountpaths: map[string]*wire.CDF{"/mp1": disk(1), "/mp2": disk(2), "/mp3": disk(2)}}
	}
	return s
}
