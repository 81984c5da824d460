package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

const (
	// maxRemotes is how many clusters can be attached.
	maxRemotes = 64
	// contactTime bounds asking one remote cluster for its map.
	contactTime = 4 * time.Second
	// resolveAgain is how often a cluster that has not answered yet is asked.
	resolveAgain = 30 * time.Second
	// maxRemoteSmap bounds the map of a remote cluster, in bytes.
	maxRemoteSmap = 16 << 20
	// defunct stands in place of the UUID of a cluster that does not answer.
	defunct = "defunct"
)

// remotes are the other AIS clusters that this one is attached to: the
// configuration says where they are, and who they are is asked.
type remotes struct {
	client *http.Client

	mu     sync.Mutex
	from   *meta.Config         // whose clusters were asked last
	again  time.Time            // when those that have not answered are asked again
	known  map[string]*identity // by alias: clusters that have answered
	silent bool                 // some have not
}

// identity is what a cluster has said about itself.
type identity struct{ url, uuid string }

func newRemotes(skipVerify bool) *remotes {
	return &remotes{client: &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: skipVerify}, //nolint:gosec // the operator asks for it
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// attachedClusters are the URLs of a configuration's remote clusters by alias.
func attachedClusters(conf *config.Cluster) (map[string][]string, error) {
	clusters := map[string][]string{}
	raw, ok := conf.Backend[wire.ProviderAIS]
	if !ok || len(raw) == 0 {
		return clusters, nil
	}
	if err := json.Unmarshal(raw, &clusters); err != nil {
		return nil, apierr.Wrap(err, http.StatusInternalServerError, "", "the remote clusters of the configuration cannot be read")
	}
	if clusters == nil {
		clusters = map[string][]string{}
	}
	return clusters, nil
}

// follow asks the clusters of a new configuration who they are, and those
// that have not answered from time to time.
func (r *remotes) follow(ctx context.Context, conf *meta.Config) {
	r.mu.Lock()
	fresh := conf == r.from
	due := r.silent && time.Now().After(r.again)
	r.mu.Unlock()
	if conf == nil || fresh && !due {
		return
	}
	clusters, err := attachedClusters(conf.Cluster)
	if err != nil {
		return // it was checked before it was committed
	}
	r.refresh(ctx, clusters)
	r.mu.Lock()
	r.from, r.again = conf, time.Now().Add(resolveAgain)
	r.mu.Unlock()
}

// found is a cluster that was asked; smap is nil if it did not answer.
type found struct {
	alias string
	urls  []string
	url   string // that answered
	smap  *meta.Smap
}

// refresh asks the given clusters, all at a time, remembers who they are, and
// returns what they say by alias, in order. Aliases that are not among them
// are forgotten.
func (r *remotes) refresh(ctx context.Context, clusters map[string][]string) []found {
	all := make([]found, 0, len(clusters))
	for _, alias := range slices.Sorted(maps.Keys(clusters)) {
		all = append(all, found{alias: alias, urls: clusters[alias]})
	}
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			f := &all[i]
			for _, u := range f.urls {
				if smap, err := r.contact(ctx, u); err == nil {
					f.url, f.smap = u, smap
					return
				}
			}
		})
	}
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.known
	r.known, r.silent = make(map[string]*identity, len(all)), false
	for i := range all {
		f := &all[i]
		switch had := before[f.alias]; {
		case f.smap != nil:
			r.known[f.alias] = &identity{url: f.url, uuid: f.smap.UUID}
		case had != nil && slices.Contains(f.urls, had.url):
			r.known[f.alias] = had // it is away; it is still itself
			r.silent = true
		default:
			r.silent = true
		}
	}
	return all
}

// identities are the clusters that have answered so far, by alias.
func (r *remotes) identities() map[string]*identity {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.known)
}

// contact asks a remote cluster for its map.
func (r *remotes) contact(ctx context.Context, base string) (*meta.Smap, error) {
	ctx, cancel := context.WithTimeout(ctx, contactTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+wire.PathDaemon+"?"+wire.QueryWhat+"="+wire.WhatSmap, http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // what counts was read
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", base, res.Status)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxRemoteSmap))
	if err != nil {
		return nil, err
	}
	smap := &meta.Smap{}
	if err := json.Unmarshal(data, smap); err != nil {
		return nil, err
	}
	if smap.UUID == "" {
		return nil, fmt.Errorf("%s is not in a cluster yet", base)
	}
	return smap, nil
}

// remotesFromMemory answers what=remote without asking anybody.
func (n *Node) remotesFromMemory() (*wire.RemoteClusters[*meta.Smap], error) {
	answer := &wire.RemoteClusters[*meta.Smap]{}
	conf := n.Config()
	clusters, err := attachedClusters(conf)
	if err != nil || len(clusters) == 0 {
		return answer, err
	}
	answer.Version = conf.Version
	known := n.remotes.identities()
	for _, alias := range slices.Sorted(maps.Keys(clusters)) {
		entry := wire.RemoteCluster[*meta.Smap]{Alias: alias, UUID: defunct, URL: fmt.Sprint(clusters[alias])}
		if id := known[alias]; id != nil {
			entry.UUID, entry.URL = id.uuid, id.url
		}
		answer.Clusters = append(answer.Clusters, entry)
	}
	return answer, nil
}

// remotesAsked answers what=remote after asking the clusters themselves.
func (n *Node) remotesAsked(ctx context.Context) (*wire.RemoteClusters[*meta.Smap], error) {
	answer := &wire.RemoteClusters[*meta.Smap]{}
	clusters, err := attachedClusters(n.Config())
	if err != nil || len(clusters) == 0 {
		return answer, err
	}
	for _, f := range n.remotes.refresh(ctx, clusters) {
		entry := wire.RemoteCluster[*meta.Smap]{Alias: f.alias, UUID: defunct, URL: fmt.Sprint(f.urls)}
		if f.smap != nil {
			entry.Smap, entry.UUID, entry.URL = f.smap, f.smap.UUID, f.url
		}
		answer.Clusters = append(answer.Clusters, entry)
	}
	return answer, nil
}

// validateAlias checks the name that a remote cluster is to have here.
func validateAlias(alias string) error {
	invalid := func(why string) error {
		return apierr.BadRequest("invalid alias %.80q of a remote cluster: %s", alias, why)
	}
	switch {
	case len(alias) < 2 || len(alias) > 64:
		return invalid("expected 2 to 64 characters")
	case alias == wire.QueryWhat:
		return invalid("the word is reserved")
	case strings.Contains(alias, ".."):
		return invalid("two dots in a row")
	}
	for _, c := range []byte(alias) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return invalid("may only contain letters, numbers, dashes (-), underscores (_), and dots (.)")
		}
	}
	return nil
}

// remoteURL returns the canonical form of a remote cluster's address.
func remoteURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > 1024,
		u.Scheme != "http" && u.Scheme != "https",
		u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "",
		strings.Trim(u.Path, "/") != "":
		return "", apierr.BadRequest("invalid URL %.200q of a remote cluster (expecting http://host:port or https://host:port)", text)
	}
	return u.Scheme + "://" + u.Host, nil
}
