package node

import (
	"net/http"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// maxMetasyncBody bounds a call of another node's control plane: a snapshot
// of all documents fits.
const maxMetasyncBody = 80 << 20

// registerOwnRoutes puts in place what every node answers, in whatever phase
// it is.
func (n *Node) registerOwnRoutes() {
	var (
		get     = []string{http.MethodGet}
		getHead = []string{http.MethodGet, http.MethodHead}
		readDo  = []string{http.MethodGet, http.MethodPost, http.MethodPut}
		all     = []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut}
	)
	public := func(prefix string, allow []string, h Handler, unlisted ...string) {
		n.register(prefix, allow, unlisted, h, true, false)
	}
	intra := func(prefix string, allow []string, h Handler) { n.register(prefix, allow, nil, h, false, false) }

	public(wire.PathHealth, nil, n.healthPublic)
	intra(wire.PathHealth, nil, n.healthIntra)
	public(wire.PathMetrics, getHead, n.prometheus)
	public(wire.PathFavicon, nil, favicon)
	intra(wire.PathMetasync, []string{http.MethodPost}, n.metasync)
	intra(wire.PathDaemon, all, n.daemonIntra)
	n.registerOwnActions()
	n.registerOperator()
	n.registerConfigActions()
	if n.role == meta.RoleProxy {
		public(wire.PathDaemon, readDo, n.daemonPublic)
		public(wire.PathReverse, all, n.reverse)
		public(wire.PathCluster, readDo, n.cluster, http.MethodDelete)
		intra(wire.PathCluster, all, n.clusterIntra)
		public(wire.PathTokens, []string{http.MethodDelete, http.MethodPost}, n.tokens)
		n.Intra(wire.PathXactions, []string{http.MethodPost}, n.localJobID)
		n.Intra(wire.PathNotifs, []string{http.MethodPost}, n.notifs)
		n.Intra(wire.PathIC, []string{http.MethodGet, http.MethodPost}, n.informationCenter)
	} else {
		public(wire.PathDaemon, get, n.daemonPublic, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch)
	}
}

// favicon answers what browsers ask for unasked.
func favicon(w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusOK)
	return nil
}

// prometheus answers /metrics.
func (n *Node) prometheus(w http.ResponseWriter, r *http.Request) error {
	n.syncMetrics()
	n.metrics.Handler().ServeHTTP(w, r)
	return nil
}

// metasync hands a call of another node's control plane to this node's.
func (n *Node) metasync(w http.ResponseWriter, r *http.Request) error {
	cp := n.Control()
	if cp == nil {
		return errStarting
	}
	items := ItemsBelow(r, wire.PathMetasync)
	if len(items) != 1 {
		return apierr.BadRequest("invalid path '%s': expected %s/<kind>", r.URL.Path, wire.PathMetasync)
	}
	body, err := ReadBody(r, maxMetasyncBody)
	if err != nil {
		return err
	}
	answer, err := cp.Handle(r.Context(), items[0], body)
	if err != nil {
		return err
	}
	return WriteBytes(w, r, wire.ContentBinary, answer)
}
