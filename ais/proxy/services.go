package proxy

import (
	"encoding/json"
	"net/http"
	"regexp"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/ais/node/objreq"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/query"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Services that run jobs of their own. None of them is built, and so there are
// no jobs: questions are answered with empty lists, as clients ask all of them
// when they list jobs, and ids are not found.

const (
	maxServiceBody = 64 << 10 // bytes
	itemAbort      = "abort"
	itemRemove     = "remove"
)

// downloadQuery is the body of questions about downloads.
type downloadQuery struct {
	ID    string `json:"id"`
	Regex string `json:"regex"`
}

// downloads answers /v1/download.
func (p *Proxy) downloads(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return apierr.NotImplemented("the downloader is not built yet")
	}
	body, err := node.ReadBody(r, maxServiceBody)
	if err != nil {
		return err
	}
	var q downloadQuery
	if len(body) > 0 {
		if err := json.Unmarshal(body, &q); err != nil {
			return apierr.BadRequest("failed to unmarshal the query: %v", node.JSONProblem(err))
		}
	}
	items := node.ItemsBelow(r, wire.PathDownload)
	if r.Method == http.MethodDelete {
		return missing(items, "download job", q.ID, []string{itemAbort, itemRemove})
	}
	switch {
	case q.ID != "" && q.Regex != "":
		return apierr.BadRequest("id and regex cannot be defined together")
	case q.ID != "":
		return errNoServiceJob("download job", q.ID)
	}
	return noJobs(w, r, q.Regex)
}

// sorts answers /v1/sort.
func (p *Proxy) sorts(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return apierr.NotImplemented("distributed sort is not built yet")
	}
	q, err := query.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	id := q.Get(wire.QueryUUID)
	items := node.ItemsBelow(r, wire.PathSort)
	if r.Method == http.MethodDelete {
		return missing(items, "dsort job", id, []string{itemAbort, ""})
	}
	if id != "" {
		return errNoServiceJob("dsort job", id)
	}
	return noJobs(w, r, q.Get("regex"))
}

// missing answers a request to end or remove a job; allowed are the items that
// a path may have.
func missing(items []string, what, id string, allowed []string) error {
	item := ""
	if len(items) > 0 {
		item = items[0]
	}
	switch {
	case len(items) > 1 || item != allowed[0] && item != allowed[1]:
		return apierr.BadRequest("invalid path: %.64q is not known for a %s", item, what)
	case id == "":
		return apierr.BadRequest("UUID not specified: which %s is meant?", what)
	}
	return errNoServiceJob(what, id)
}

func errNoServiceJob(what, id string) error {
	return apierr.New(http.StatusNotFound, wire.CodeNotFound, "%s %.64q not found", what, id)
}

// noJobs answers a question for a list of jobs whose description matches.
func noJobs(w http.ResponseWriter, r *http.Request, pattern string) error {
	if pattern != "" {
		if _, err := regexp.CompilePOSIX(pattern); err != nil {
			return apierr.BadRequest("invalid regex %.64q: %v", pattern, err)
		}
	}
	return node.WriteJSON(w, r, []struct{}{})
}

// transformations answers /v1/etl.
func transformations(http.ResponseWriter, *http.Request) error { return objreq.ErrETL() }
