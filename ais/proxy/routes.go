package proxy

import (
	"net/http"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Register puts the gateway's handlers in place.
func (p *Proxy) Register() {
	n := p.node
	objects := []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut}
	n.Public(wire.PathObjects, objects, p.objects, http.MethodPatch)
	n.Public(wire.PathBuckets,
		[]string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost}, p.buckets, http.MethodPut)
	for _, easy := range []string{wire.PathEasyAIS, wire.PathEasyGCP, wire.PathEasyAzure} {
		n.Public(easy, objects, p.easyURL, http.MethodPatch)
	}
	n.SetFast(fastRedirect{p})
	p.registerMembership()
	n.Public(wire.PathDownload, []string{http.MethodDelete, http.MethodGet, http.MethodPost}, p.downloads)
	n.Public(wire.PathSort, []string{http.MethodDelete, http.MethodGet, http.MethodPost}, p.sorts)
	n.Public(wire.PathETL, nil, transformations)
	for path, what := range map[string]string{
		wire.PathGetBatch: "get-batch",
		wire.PathS3:       "the S3 API",
	} {
		n.Public(path, nil, node.NotBuilt(what))
	}
}
