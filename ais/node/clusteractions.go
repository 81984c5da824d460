package node

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// registerOwnActions puts in place what every node, and every proxy for the
// cluster, does by itself.
func (n *Node) registerOwnActions() {
	plain := func(h func(*ActMsg) error) ActionHandler {
		return func(w http.ResponseWriter, _ *http.Request, msg *ActMsg) error {
			if err := h(msg); err != nil {
				return err
			}
			w.WriteHeader(http.StatusOK)
			return nil
		}
	}
	n.HandleDaemonAction(wire.ActRotateLogs, Clients, plain(func(*ActMsg) error { return n.rotateLogs() }))
	n.HandleDaemonAction(wire.ActResetStats, Clients, plain(n.resetStats))
	n.HandleDaemonItem(wire.ItemLoadX509, []string{http.MethodPut}, Clients, n.reloadCertificates)
	if n.role == meta.RoleTarget {
		n.HandleDaemonAction(wire.ActClearLcache, Clients, n.clearMetadata)
		n.HandleDaemonAction(wire.ActReloadCreds, Clients, plain(checkReloadCreds))
		n.HandleDaemonItem(wire.ItemEnableBackend, []string{http.MethodPut}, Nodes, refuseBackend)
		n.HandleDaemonItem(wire.ItemDisableBackend, []string{http.MethodPut}, Nodes, refuseBackend)
		return
	}
	n.HandleClusterAction(wire.ActRotateLogs, true, n.onAll)
	n.HandleClusterAction(wire.ActResetStats, true, func(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
		if _, err := errorsOnly(msg); err != nil {
			return err
		}
		return n.onAll(w, r, msg)
	})
	n.HandleClusterAction(wire.ActClearLcache, true, n.clearAllMetadata)
	n.HandleClusterAction(wire.ActReloadCreds, true, plain(checkReloadCreds))
	n.HandleClusterAction(wire.ActStart, true, n.startJob)
	n.HandleClusterAction(wire.ActStop, true, n.stopJob)
	put := []string{http.MethodPut}
	n.HandleClusterItem(wire.ItemEnableBackend, put, true, refuseBackend)
	n.HandleClusterItem(wire.ItemDisableBackend, put, true, refuseBackend)
	n.HandleClusterItem(wire.ItemLoadX509, put, true, n.reloadAllCertificates)
	n.HandleClusterItem(wire.ItemAttach, put, true, n.attachRemote)
	n.HandleClusterItem(wire.ItemDetach, put, true, n.detachRemote)
}

// onAll hands an action message to every node of the cluster. What one cannot
// do, the others still do; the error names those that failed.
func (n *Node) onAll(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	body, err := json.Marshal(msg)
	if err != nil {
		return err
	}
	if err := n.Broadcast(r.Context(), n.View().Smap.Nodes(), http.MethodPut, wire.PathDaemon, body); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// errorsOnly reads the value of reset-stats.
func errorsOnly(msg *ActMsg) (only bool, err error) {
	if err := json.Unmarshal(msg.Value, &only); err != nil || string(msg.Value) == "null" {
		return false, apierr.BadRequest("failed to unmarshal the value of action %q: expected true (errors only) or false, got %.64q", msg.Action, msg.Value)
	}
	return only, nil
}

// resetStats sets the JSON statistics of this node to zero.
func (n *Node) resetStats(msg *ActMsg) error {
	only, err := errorsOnly(msg)
	if err != nil {
		return err
	}
	n.metrics.Reset(only)
	return nil
}

// clearMetadata drops the object metadata that this target has in memory: that
// of one bucket if the message names one.
func (n *Node) clearMetadata(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	name := msg.Name
	if name == n.id {
		name = ""
	}
	bck, err := n.bucketToClear(r.Context(), name)
	if err != nil {
		return err
	}
	if clear := n.clear.Load(); clear != nil {
		if err := (*clear)(r.Context(), bck); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// clearAllMetadata has every target drop what it has in memory, or one target
// if the message has its id, or what they have of one bucket.
func (n *Node) clearAllMetadata(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	tmap := n.View().Smap.Tmap
	targets := slices.Collect(maps.Values(tmap))
	if one := tmap[msg.Name]; one != nil {
		targets, msg = []*meta.Snode{one}, &ActMsg{Action: msg.Action}
	} else if _, err := n.bucketToClear(r.Context(), msg.Name); err != nil {
		return err
	}
	body, err := json.Marshal(msg)
	if err != nil {
		return err
	}
	if err := n.Broadcast(r.Context(), targets, http.MethodPut, wire.PathDaemon, body); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// bucketToClear finds the bucket that a message names; nil: all are meant. One
// that was created a moment ago may not be known here yet.
func (n *Node) bucketToClear(ctx context.Context, name string) (*wire.Bck, error) {
	if name == "" {
		return nil, nil
	}
	bck, err := naming.ParseBucket(name)
	if err != nil {
		return nil, err
	}
	if _, known := n.View().BMD.Get(bck); known {
		return &bck, nil
	}
	if cp := n.Control(); cp != nil {
		if _, err := cp.Barrier(ctx); err != nil {
			return nil, err
		}
	}
	if _, known := n.View().BMD.Get(bck); !known {
		return nil, apierr.BucketNotFound(bck)
	}
	return &bck, nil
}

// checkReloadCreds refuses to reload the credentials of a cloud provider: none
// is configured as long as none is built in.
func checkReloadCreds(msg *ActMsg) error {
	if msg.Name == "" {
		return apierr.BadRequest("action %q: no cloud provider is configured", msg.Action)
	}
	provider, err := cloudProvider(msg.Name)
	if err != nil {
		return err
	}
	return errNotConfigured(provider)
}

// refuseBackend refuses to enable or disable a cloud provider, for the same
// reason.
func refuseBackend(_ http.ResponseWriter, r *http.Request, items []string) error {
	if len(items) == 0 {
		return apierr.BadRequest("invalid path '%s': the provider is missing", r.URL.Path)
	}
	provider, err := cloudProvider(items[0])
	if err != nil {
		return err
	}
	return errNotConfigured(provider)
}

// cloudProvider returns the name of a cloud provider that may be given by an
// alias.
func cloudProvider(name string) (string, error) {
	provider, err := naming.Provider(name)
	if err != nil {
		return "", err
	}
	if !(wire.Bck{Provider: provider}).IsCloud() {
		return "", apierr.BadRequest("provider %q is not a cloud provider (expecting one of [%s %s %s %s])", provider,
			wire.ProviderAWS, wire.ProviderGCP, wire.ProviderAzure, wire.ProviderOCI)
	}
	return provider, nil
}

func errNotConfigured(provider string) error {
	return apierr.BadRequest("cloud provider %q is not configured", provider)
}
