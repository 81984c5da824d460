package node

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

// reloadCertificates answers PUT /v1/daemon/load-x509. Files that cannot be
// used are an alert of the node until they can; meanwhile the node goes on
// with the certificate that it has.
func (n *Node) reloadCertificates(w http.ResponseWriter, r *http.Request, items []string) error {
	if len(items) > 0 {
		return apierr.BadRequest("invalid path '%s': nothing is expected after %s", r.URL.Path, wire.ItemLoadX509)
	}
	err := n.ReloadCertificates()
	n.alerts.certInvalid.Store(err != nil && n.publicCertificate() != nil)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// reloadAllCertificates answers PUT /v1/cluster/load-x509[/<node>]: the nodes
// load their certificates one after another, so that a bad file stops at the
// first one, whose failure is that of the whole. This node is the last: with a
// self-signed certificate it no longer trusts the old one when it has loaded
// the new one.
func (n *Node) reloadAllCertificates(w http.ResponseWriter, r *http.Request, items []string) error {
	smap := n.View().Smap
	nodes := slices.DeleteFunc(smap.Nodes(), func(sn *meta.Snode) bool { return sn.ID == n.id })
	nodes = append(nodes, n.self())
	switch len(items) {
	case 0:
	case 1:
		one := smap.Node(items[0])
		if one == nil {
			return n.errNodeNotFound(items[0])
		}
		nodes = []*meta.Snode{one}
	default:
		return apierr.BadRequest("invalid path '%s': expected %s/%s[/<node>]", r.URL.Path, wire.PathCluster, wire.ItemLoadX509)
	}
	for _, sn := range nodes {
		if err := n.reloadOne(r.Context(), sn); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (n *Node) reloadOne(ctx context.Context, sn *meta.Snode) error {
	err := n.tell(ctx, sn, http.MethodPut, wire.PathDaemon+"/"+wire.ItemLoadX509, nil)
	var unreachable *rpc.UnreachableError
	if errors.As(err, &unreachable) {
		return apierr.Unavailable(time.Second, "%s: %s does not answer %s: %v", n.name, sn, wire.ItemLoadX509, err)
	}
	return err
}

// errNodeNotFound is the 404 of a node that the map does not have.
func (n *Node) errNodeNotFound(id string) error {
	role := ""
	if !n.isPrimary() {
		role = "non-primary, "
	}
	return apierr.New(http.StatusNotFound, wire.CodeNodeNotFound, "%s: %snode %q is not present in Smap v%d", n.name, role, clip(id), n.View().Smap.Ver())
}
