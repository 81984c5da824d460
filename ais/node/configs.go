package node

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
)

// maskedSecret is what stands for a secret in answers.
const maskedSecret = "**********"

// writeClusterConfig answers with the cluster's configuration, without this
// node's overrides and without secrets.
func (n *Node) writeClusterConfig(w http.ResponseWriter, r *http.Request) error {
	conf := n.initial
	if doc := n.View().Config; doc != nil {
		conf = doc.Cluster
	}
	return WriteJSON(w, r, withoutSecrets(conf))
}

// writeConfig answers with the configuration in force here and the node's
// own, in one flat object.
func (n *Node) writeConfig(w http.ResponseWriter, r *http.Request) error {
	local, err := json.Marshal(n.localNow())
	if err != nil {
		return apierr.Wrap(err, http.StatusInternalServerError, "", "encode the local configuration")
	}
	cluster, err := json.Marshal(withoutSecrets(n.Config()))
	if err != nil {
		return apierr.Wrap(err, http.StatusInternalServerError, "", "encode the cluster configuration")
	}
	return WriteRawJSON(w, r, joinObjects(local, cluster))
}

// localNow is this node's own configuration; its mountpaths are those that it
// has, after whatever an operator has attached and detached.
func (n *Node) localNow() *config.Local {
	source := n.status.Load()
	if source == nil {
		return n.local
	}
	list, space := (*source).Mountpaths(), (*source).Capacity().Mountpaths
	local := *n.local
	local.FSPaths = config.FSPaths{}
	for _, path := range slices.Concat(list.Available, list.Waiting, list.Disabled) {
		label := n.local.FSPaths[path]
		if figures := space[path]; figures != nil {
			label = figures.Label
		}
		local.FSPaths[path] = label
	}
	return &local
}

// joinObjects makes one JSON object of two; their keys must differ.
func joinObjects(a, b []byte) []byte {
	a, b = bytes.TrimSuffix(bytes.TrimSpace(a), []byte("}")), bytes.TrimPrefix(bytes.TrimSpace(b), []byte("{"))
	joined := slices.Clone(a)
	if len(bytes.TrimSpace(a)) > 1 && len(bytes.TrimSpace(b)) > 1 {
		joined = append(joined, ',')
	}
	return append(joined, b...)
}

// withoutSecrets returns the configuration as clients may see it: the
// sections that are kept as they were written may hold credentials.
func withoutSecrets(conf *config.Cluster) *config.Cluster {
	if len(conf.Backend) == 0 {
		return conf
	}
	masked := *conf
	masked.Backend = maps.Clone(conf.Backend)
	for provider, raw := range masked.Backend {
		var v any
		if json.Unmarshal(raw, &v) != nil || !maskSecrets(v) {
			continue
		}
		if clean, err := json.Marshal(v); err == nil {
			masked.Backend[provider] = clean
		}
	}
	return &masked
}

// maskSecrets replaces the values of keys that name credentials, at any
// depth, and tells whether there were any.
func maskSecrets(v any) (found bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			name := strings.ToLower(key)
			switch {
			case strings.Contains(name, "secret"), strings.Contains(name, "password"), strings.Contains(name, "token"),
				strings.Contains(name, "private"), strings.HasSuffix(name, "_key"):
				v[key], found = maskedSecret, true
			default:
				found = maskSecrets(value) || found
			}
		}
	case []any:
		for _, value := range v {
			found = maskSecrets(value) || found
		}
	}
	return found
}
