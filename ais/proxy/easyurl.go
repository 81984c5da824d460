package proxy

import (
	"net/http"
	"strings"

	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// easyProvider maps the first item of an easy URL to a provider.
func easyProvider(item string) string {
	switch item {
	case "ais":
		return wire.ProviderAIS
	case "gs":
		return wire.ProviderGCP
	case "az":
		return wire.ProviderAzure
	}
	return ""
}

// easyURL answers "/ais[/bucket[/object]]", "/gs..." and "/az..." as the
// native call with that provider. A provider in the query wins. The object
// name is everything after the bucket, with all its slashes.
func (p *Proxy) easyURL(w http.ResponseWriter, r *http.Request) error {
	scheme, rest, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/")
	bucket, object, _ := strings.Cut(rest, "/")

	rawQuery, provider := r.URL.RawQuery, ""
	if !strings.Contains(rawQuery, wire.QueryProvider) {
		provider = easyProvider(scheme)
		if rawQuery != "" {
			rawQuery += "&"
		}
		rawQuery += wire.QueryProvider + "=" + provider
	}
	q, err := query.Parse(rawQuery)
	if err != nil {
		return err
	}
	switch {
	case object != "":
		req := request{bucket: bucket, object: object, query: &q, provider: provider}
		if r.Method != http.MethodPost {
			objreq.Early(w, r)
		} else if req.action, err = readAction(r); err != nil {
			return err
		}
		return p.objectRequest(w, r, &req)
	case r.Method == http.MethodPut:
		return apierr.BadRequest(`missing destination object name in the "easy URL"`)
	case bucket == "" && r.Method != http.MethodGet:
		return apierr.BadRequest("invalid request URI: '%s %s': a bucket name is expected", r.Method, r.URL.Path)
	default:
		return p.bucketRequest(w, r, bucket, &q)
	}
}
