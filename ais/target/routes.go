package target

import (
	"net/http"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Register puts the target's handlers in place.
func (t *Target) Register() {
	n := t.node
	n.Public(wire.PathObjects, []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut},
		t.objects, http.MethodPatch)
	n.Public(wire.PathBuckets, []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost},
		t.buckets, http.MethodPut)
	for _, easy := range []string{wire.PathEasyAIS, wire.PathEasyGCP, wire.PathEasyAzure} {
		n.Public(easy, nil, func(http.ResponseWriter, *http.Request) error {
			return apierr.BadRequest(`trying to execute "easy URL" via AIS target? (hint: use proxy)`)
		})
	}
	for path, what := range map[string]string{
		wire.PathGetBatch: "get-batch",
		wire.PathDownload: "the downloader",
		wire.PathSort:     "distributed sort",
		wire.PathS3:       "the S3 API",
	} {
		n.Public(path, nil, node.NotBuilt(what))
	}
	n.Intra(wire.PathXactions, []string{http.MethodGet, http.MethodPut}, t.jobCalls)
	n.Intra(wire.PathHeld, []string{http.MethodGet}, t.held)
	n.Public(wire.PathETL, nil, func(http.ResponseWriter, *http.Request) error { return objreq.ErrETL() })
	n.Intra(wire.PathIntra, []string{http.MethodGet, http.MethodHead, http.MethodPost}, t.intra)
	n.SetFast(fastObjects{t})
	t.registerMountpaths()
	n.OnClearMetadata(t.store.ClearMetadata)
	t.metrics.SetCache(func() metrics.CacheCounts {
		s := t.store.MetadataStats()
		return metrics.CacheCounts{Hits: s.Hits, Misses: s.Misses, Evicted: s.Evicted, Expired: s.Expired, Collisions: s.Collisions}
	})
}

// buckets refuses bucket requests: gateways answer them.
func (t *Target) buckets(_ http.ResponseWriter, r *http.Request) error {
	return apierr.BadRequest("%s: %s %s: bucket requests are answered by gateways", t.node.Name(), r.Method, r.URL.Path)
}
