package work

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmd/ais/settings"
	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmd/aisloader/params"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// userAgent is what the loader calls itself.
const userAgent = "aisloader"

// Session is the way to a cluster.
type Session struct {
	Client  *api.Client  // for what is not measured
	Options load.Options // for what is
	Traced  atomic.Bool  // times are measured while it is set

	gateways []string // host:port; more than one if they are picked at random
	prefix   []byte   // of the unique names of the bucket's objects
	routing  atomic.Pointer[routing]
	refresh  sync.Mutex
}

// routing is a cluster map, read once.
type routing struct {
	smap    *meta.Smap
	address map[string]string // host:port of targets, by node id
	version []byte            // header line of direct writes
	fetched time.Time
}

// Connect prepares the way to the cluster of p: token, TLS, and the cluster
// map if gateways are picked or owners computed.
func Connect(ctx context.Context, p *params.Params, getenv func(string) string) (*Session, error) {
	dir, err := settings.Dir(getenv)
	if err != nil {
		dir = "/nonexistent" // no home, so there is no token in it
	}
	connection, err := (&settings.File{}).Connect(dir, func(name string) string {
		switch {
		case name == settings.EnvEndpoint:
			return p.URL
		case p.TokenFile != "" && name == settings.EnvAuthTokenFile:
			return p.TokenFile
		case p.TokenFile != "" && name == settings.EnvAuthToken:
			return ""
		}
		return getenv(name)
	})
	if err != nil {
		return nil, err
	}
	s := &Session{prefix: p.Bucket.AppendUname(nil, "")}
	s.Options = load.Options{TLS: connection.TLS, Timeout: p.Timeout, Timed: &s.Traced}
	s.Traced.Store(p.Trace)
	lines := "User-Agent: " + userAgent + "\r\n"
	if connection.Token != "" {
		lines += "Authorization: Bearer " + connection.Token + "\r\n"
	}
	s.Options.Headers = []byte(lines)
	if s.Client, err = api.New(api.Options{URL: connection.URL, Token: connection.Token, UserAgent: userAgent, TLS: connection.TLS}); err != nil {
		return nil, err
	}
	u, err := url.Parse(s.Client.URL())
	if err != nil {
		return nil, err
	}
	s.gateways = []string{hostPort(u)}
	if !p.RandomProxy && !p.Direct {
		return s, nil
	}
	if err := s.fetchMap(ctx); err != nil {
		return nil, err
	}
	if p.RandomProxy {
		return s, s.useAllGateways()
	}
	return s, nil
}

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	if u.Scheme == "https" {
		return u.Host + ":443"
	}
	return u.Host + ":80"
}

func (s *Session) fetchMap(ctx context.Context) error {
	smap, err := s.Client.FetchSmap(ctx)
	if err != nil {
		return err
	}
	r := &routing{
		smap: smap, address: map[string]string{}, fetched: time.Now(),
		version: []byte(wire.HeaderSmapVersion + ": " + strconv.FormatInt(smap.Version, 10) + "\r\n"),
	}
	for id, target := range smap.Tmap {
		u, err := url.Parse(target.Public.URL)
		if err != nil {
			return fmt.Errorf("the cluster map has the address %q of %s: %w", target.Public.URL, id, err)
		}
		r.address[id] = hostPort(u)
	}
	s.routing.Store(r)
	return nil
}

func (s *Session) useAllGateways() error {
	s.gateways = nil
	for id, proxy := range s.routing.Load().smap.Pmap {
		u, err := url.Parse(proxy.Public.URL)
		if err != nil {
			return fmt.Errorf("the cluster map has the address %q of %s: %w", proxy.Public.URL, id, err)
		}
		s.gateways = append(s.gateways, hostPort(u))
	}
	return nil
}

// route addresses a request for an object: to its owner, or to a gateway.
func (s *Session) route(w *load.Worker, r *load.Request, name []byte, direct bool, buf []byte) []byte {
	r.Gateway = true
	r.Addr = s.gateways[0]
	if len(s.gateways) > 1 {
		r.Addr = s.gateways[w.Random.IntN(len(s.gateways))]
	}
	if !direct {
		return buf
	}
	buf = append(append(buf[:0], s.prefix...), name...)
	known := s.routing.Load()
	if owner, err := known.smap.Owner(hrw.DigestBytes(buf)); err == nil && known.address[owner.ID] != "" {
		r.Addr, r.Gateway = known.address[owner.ID], false
		if r.Method != "GET" && r.Method != "HEAD" {
			r.Headers = append(r.Headers, known.version...)
		}
	}
	return buf
}

// outdated fetches the map again: a request came to the wrong server, or to
// none. One worker does it for all, at most once a second.
func (s *Session) outdated(ctx context.Context) {
	if !s.refresh.TryLock() {
		return
	}
	defer s.refresh.Unlock()
	if time.Since(s.routing.Load().fetched) < time.Second {
		return
	}
	if err := s.fetchMap(ctx); err != nil {
		// The old one is still the best that is known.
		fmt.Fprintln(os.Stderr, "cluster map:", err)
	}
}
