package node

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// registerConfigActions puts in place how the configuration is changed: of the
// whole cluster, by the primary, and of this node.
func (n *Node) registerConfigActions() {
	put := []string{http.MethodPut}
	n.HandleDaemonAction(wire.ActSetConfig, Clients, n.setNodeConfig)
	n.HandleDaemonAction(wire.ActResetConfig, Clients, n.resetNodeConfig)
	n.HandleDaemonItem(wire.ItemSetConfig, put, Clients, n.setNodeConfigByQuery)
	if n.role == meta.RoleProxy {
		n.HandleClusterAction(wire.ActSetConfig, true, n.setClusterConfig)
		n.HandleClusterAction(wire.ActResetConfig, true, n.onAll)
		n.HandleClusterItem(wire.ItemSetConfig, put, true, n.setClusterConfigByQuery)
	}
}

// setClusterConfig changes the cluster's configuration as an action message
// says: its value is a part of a configuration.
func (n *Node) setClusterConfig(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	changes, transient, err := configMessage(r, msg)
	if err != nil {
		return err
	}
	body, err := json.Marshal(msg)
	if err != nil {
		return err
	}
	return n.changeClusterConfig(w, r, changes, transient, wire.PathDaemon, body)
}

// setClusterConfigByQuery changes the cluster's configuration as the query
// says: every parameter but one is a key.
func (n *Node) setClusterConfigByQuery(w http.ResponseWriter, r *http.Request, items []string) error {
	changes, transient, err := configQuery(r, items)
	if err != nil {
		return err
	}
	return n.changeClusterConfig(w, r, changes, transient, wire.PathDaemon+"/"+wire.ItemSetConfig, nil)
}

// changeClusterConfig makes changes of the whole cluster's configuration, all
// or none. It returns when they are in force on every node that answers.
// Transient ones are made in the memory of each node: path and body are the
// call for that.
func (n *Node) changeClusterConfig(w http.ResponseWriter, r *http.Request, changes *config.Changes, transient bool, path string, body []byte) error {
	if err := changes.Check(config.Scope{Transient: transient}); err != nil {
		return err
	}
	if transient {
		if _, err := changes.Apply(n.clusterConfig()); err != nil {
			return err
		}
		if err := n.Broadcast(r.Context(), n.View().Smap.Nodes(), http.MethodPut, path+"?"+r.URL.RawQuery, body); err != nil {
			return err
		}
		n.logger.Info("configuration of the cluster changed until its nodes start again", "keys", changes.Keys())
	} else {
		view, err := n.commitConfig(r, wire.ActSetConfig, func(c *config.Cluster) (*config.Cluster, error) {
			next, err := changes.Apply(c)
			if err == nil && changes.Touches("net") {
				err = checkCertificates(&next.Net.HTTP)
			}
			return next, err
		})
		if err != nil {
			return err
		}
		n.logger.Info("configuration of the cluster changed", "version", view.Config.Version, "keys", changes.Keys())
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// checkCertificates fails if this node could not start again with the
// certificates that a configuration names, and so, most likely, no node could.
func checkCertificates(conf *config.HTTPConf) error {
	if _, err := loadTLS(conf); err != nil {
		return apierr.Wrap(err, http.StatusBadRequest, "", "no node could start with this")
	}
	return nil
}

// commitConfig commits what change makes of the cluster's configuration.
func (n *Node) commitConfig(r *http.Request, action string, change func(*config.Cluster) (*config.Cluster, error)) (*meta.View, error) {
	return n.Control().Commit(r.Context(), action, func(view *meta.View) ([]meta.Change, error) {
		return configChange(view, change)
	})
}

// configChange is the change of metadata that puts another configuration in
// the place of the present one.
func configChange(view *meta.View, change func(*config.Cluster) (*config.Cluster, error)) ([]meta.Change, error) {
	if view.Config == nil {
		return nil, errStarting
	}
	next, err := change(view.Config.Cluster)
	if err != nil || next == nil {
		return nil, err
	}
	next.Touch(time.Now())
	changes, err := rebalanceWhenEnabled(view, next.Rebalance.Enabled)
	if err != nil {
		return nil, err
	}
	c, err := meta.NewChange(view, meta.KindConfig, next)
	return append(changes, c), err
}

// setNodeConfig overrides keys on this node, as an action message says.
func (n *Node) setNodeConfig(w http.ResponseWriter, r *http.Request, msg *ActMsg) error {
	changes, transient, err := configMessage(r, msg)
	if err != nil {
		return err
	}
	return n.changeNodeConfig(w, changes, transient)
}

// setNodeConfigByQuery overrides keys on this node, as the query says.
func (n *Node) setNodeConfigByQuery(w http.ResponseWriter, r *http.Request, items []string) error {
	changes, transient, err := configQuery(r, items)
	if err != nil {
		return err
	}
	return n.changeNodeConfig(w, changes, transient)
}

func (n *Node) changeNodeConfig(w http.ResponseWriter, changes *config.Changes, transient bool) error {
	if err := n.live.Change(changes, transient); err != nil {
		return err
	}
	n.logger.Info("configuration of this node changed", "keys", changes.Keys(), "transient", transient)
	w.WriteHeader(http.StatusOK)
	return nil
}

// resetNodeConfig drops what this node overrides.
func (n *Node) resetNodeConfig(w http.ResponseWriter, _ *http.Request, _ *ActMsg) error {
	if err := n.live.Reset(); err != nil {
		return err
	}
	n.logger.Info("this node overrides nothing of the cluster's configuration any more")
	w.WriteHeader(http.StatusOK)
	return nil
}

// configMessage reads the changes in an action message.
func configMessage(r *http.Request, msg *ActMsg) (changes *config.Changes, transient bool, err error) {
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return nil, false, err
	}
	changes, err = config.ParseMessage(msg.Value)
	return changes, q.Bool(wire.QueryTransient), err
}

// configQuery reads the changes in a query.
func configQuery(r *http.Request, items []string) (changes *config.Changes, transient bool, err error) {
	if len(items) > 0 {
		return nil, false, apierr.BadRequest("invalid path '%s': nothing may follow %s", r.URL.Path, wire.ItemSetConfig)
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return nil, false, err
	}
	changes = config.ParsePairs(func(yield func(key, value string) bool) {
		for key, value := range q.All() {
			if key != wire.QueryTransient && !yield(key, value) {
				return
			}
		}
	})
	return changes, q.Bool(wire.QueryTransient), nil
}
