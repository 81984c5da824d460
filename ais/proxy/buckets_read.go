package proxy

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/naming"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// headBucket answers with all properties of a bucket as JSON in one header.
func (p *Proxy) headBucket(w http.ResponseWriter, r *http.Request, bck wire.Bck, q *query.Values) error {
	if err := checkPresence(q); err != nil {
		return err
	}
	if q.Has(wire.QueryBucketSummary) {
		return p.headSummary(w, r, bck, "", q)
	}
	props, stale, err := p.freshProps(r.Context(), bck)
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(props)
	if err != nil {
		return apierr.Wrap(err, http.StatusInternalServerError, "", "encode the properties of %s", bck)
	}
	markStale(w, stale)
	w.Header()[wire.HeaderBucketProps] = []string{string(encoded)}
	w.WriteHeader(http.StatusOK)
	return nil
}

// headPrefix answers HEAD of a path below a bucket: the prefix of a summary.
func (p *Proxy) headPrefix(w http.ResponseWriter, r *http.Request, bucket, prefix string, q *query.Values) error {
	if !q.Has(wire.QueryBucketSummary) {
		return apierr.BadRequest("a prefix after the bucket's name needs the query parameter %q", wire.QueryBucketSummary)
	}
	bck, err := q.Bck(bucket)
	if err != nil {
		return err
	}
	return p.headSummary(w, r, bck, prefix, q)
}

// checkPresence validates the query parameter "presence" of a bucket request.
func checkPresence(q *query.Values) error {
	if text := q.Get(wire.QueryPresence); text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < wire.PresenceExists || n > wire.PresenceOutside {
			return apierr.BadRequest("invalid query parameter %s=%.20q: expecting a number from %d to %d",
				wire.QueryPresence, text, wire.PresenceExists, wire.PresenceOutside)
		}
	}
	return nil
}

// listBuckets answers the buckets that match the query, by provider,
// namespace and name; name, if not empty, asks for one of them.
func (p *Proxy) listBuckets(w http.ResponseWriter, r *http.Request, name string, q *query.Values) error {
	if err := checkPresence(q); err != nil {
		return err
	}
	filter, err := q.BckQuery()
	if err != nil {
		return err
	}
	if name != "" {
		if err := naming.ValidateBucketName(name); err != nil {
			return err
		}
	}
	if filter.IsCloud() && !fromMetadata(q) {
		return objreq.ErrNoBackend(http.StatusBadRequest, wire.CodeMissingBackend, filter.Provider, "")
	}
	stale, err := p.control.Barrier(r.Context())
	if err != nil {
		return err
	}
	system := q.Bool(wire.QuerySystemBuckets)
	entries := p.control.View().BMD.Buckets(func(bck wire.Bck, _ *meta.Bprops) bool {
		switch {
		case name != "" && bck.Name != name, filter.Provider != "" && bck.Provider != filter.Provider:
			return false
		case naming.IsSystemBucket(bck) && !system:
			return false
		}
		return matchesNamespace(filter.Ns, bck.Ns)
	})
	list := make([]wire.Bck, len(entries)) // never null
	for i, entry := range entries {
		list[i] = entry.Bck
	}
	slices.SortFunc(list, func(a, b wire.Bck) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Ns.String(), b.Ns.String()), cmp.Compare(a.Name, b.Name))
	})
	markStale(w, stale)
	return node.WriteJSON(w, r, list)
}

// fromMetadata tells that the request asks for what this cluster has, not for
// what a provider has.
func fromMetadata(q *query.Values) bool {
	switch q.Get(wire.QueryPresence) {
	case "2", "3", "4":
		return true
	}
	return false
}

// matchesNamespace: a filter without a namespace matches every local one, one
// that names a remote cluster alone matches all its namespaces.
func matchesNamespace(filter, ns wire.Ns) bool {
	switch {
	case filter == wire.Ns{}:
		return ns.UUID == ""
	case filter.UUID == query.AnyRemote:
		return ns.UUID != ""
	case filter.UUID != "" && filter.Name == "":
		return ns.UUID == filter.UUID
	}
	return ns == filter
}
