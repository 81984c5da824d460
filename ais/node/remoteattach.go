package node

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// attachRemote answers PUT /v1/cluster/attach?what=remote: the cluster's
// configuration gets an alias for another AIS cluster. That one may be down.
func (n *Node) attachRemote(w http.ResponseWriter, r *http.Request, items []string) error {
	alias, err := remoteAlias(r, items)
	if err != nil {
		return err
	}
	if err := validateAlias(alias); err != nil {
		return err
	}
	address, err := remoteURL(r.Header.Get(wire.HeaderRemoteAISURL))
	if err != nil {
		return err
	}
	// Who is it, and who are the others? As far as they answer.
	clusters, err := attachedClusters(n.clusterConfig())
	if err != nil {
		return err
	}
	if at, ok := clusters[alias]; ok && !slices.Equal(at, []string{address}) {
		return errAliasTaken(alias, at)
	}
	clusters[alias] = []string{address}
	n.remotes.refresh(r.Context(), clusters)
	known := n.remotes.identities()
	uuid := ""
	if id := known[alias]; id != nil {
		uuid = id.uuid
	} else {
		n.logger.Warn("a remote cluster is attached that does not answer now", "alias", alias, "url", address)
	}
	if smap := n.View().Smap; smap != nil && uuid == smap.UUID && uuid != "" {
		return apierr.BadRequest("cannot attach cluster %q: %s is this cluster", alias, address)
	}
	return n.changeRemotes(w, r, "attach remote cluster "+alias, func(clusters map[string][]string) error {
		for other, id := range known {
			switch {
			case other == alias:
			case id.uuid == alias:
				return apierr.BadRequest("invalid alias %q: it is the UUID of the attached cluster %q", alias, other)
			case uuid != "" && id.uuid == uuid:
				delete(clusters, other) // the new alias takes the place of the old one
			}
		}
		if at, ok := clusters[alias]; ok {
			if !slices.Equal(at, []string{address}) {
				return errAliasTaken(alias, at)
			}
		} else if len(clusters) >= maxRemotes {
			return apierr.BadRequest("cannot attach cluster %q: there are %d already", alias, len(clusters))
		}
		clusters[alias] = []string{address}
		return nil
	})
}

func errAliasTaken(alias string, at []string) error {
	return apierr.BadRequest("alias %q is taken: the cluster at %v is attached under it", alias, at)
}

// detachRemote answers PUT /v1/cluster/detach?what=remote.
func (n *Node) detachRemote(w http.ResponseWriter, r *http.Request, items []string) error {
	alias, err := remoteAlias(r, items)
	if err != nil {
		return err
	}
	return n.changeRemotes(w, r, "detach remote cluster "+alias, func(clusters map[string][]string) error {
		if len(clusters) == 0 {
			return apierr.BadRequest("cannot detach cluster %.80q: no remote cluster is attached", alias)
		}
		if _, ok := clusters[alias]; !ok {
			return apierr.New(http.StatusNotFound, wire.CodeNotFound, "remote cluster %.80q is not attached", alias)
		}
		delete(clusters, alias)
		return nil
	})
}

// remoteAlias reads what attach and detach have in common.
func remoteAlias(r *http.Request, items []string) (string, error) {
	if len(items) > 0 {
		return "", apierr.BadRequest("invalid path '%s': nothing is expected after attach or detach", r.URL.Path)
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return "", err
	}
	if what := q.Get(wire.QueryWhat); what != wire.WhatRemote {
		return "", errInvalidWhat(what)
	}
	alias := r.Header.Get(wire.HeaderRemoteAISAlias)
	if alias == "" {
		return "", apierr.BadRequest("header %s is missing: it names the remote cluster", wire.HeaderRemoteAISAlias)
	}
	return alias, nil
}

// changeRemotes commits a change of the attached clusters. The configuration
// does not change if they stay as they are.
func (n *Node) changeRemotes(w http.ResponseWriter, r *http.Request, action string, change func(map[string][]string) error) error {
	_, err := n.commitConfig(r, action, func(now *config.Cluster) (*config.Cluster, error) {
		clusters, err := attachedClusters(now)
		if err != nil {
			return nil, err
		}
		before, err := json.Marshal(clusters)
		if err != nil {
			return nil, err
		}
		if err := change(clusters); err != nil {
			return nil, err
		}
		after, err := json.Marshal(clusters)
		if err != nil || bytes.Equal(before, after) {
			return nil, err
		}
		next := now.Clone()
		if next.Backend == nil {
			next.Backend = config.BackendConf{}
		}
		next.Backend[wire.ProviderAIS] = after
		if len(clusters) == 0 {
			delete(next.Backend, wire.ProviderAIS)
		}
		return next, nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// clusterConfig is the cluster's configuration without this node's overrides.
func (n *Node) clusterConfig() *config.Cluster {
	if doc := n.View().Config; doc != nil {
		return doc.Cluster
	}
	return n.initial
}
