package target

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/transport/rpc"
)

// question puts a question about a bucket to another target and decodes what it
// answers; both are JSON. The error is that of the other target, or
// *rpc.UnreachableError if that cannot be asked.
func (t *Target) question(ctx context.Context, to *meta.Snode, call string, bck wire.Bck, ask, answer any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	data, _, err := t.node.RPC().Request(ctx, rpc.Data, http.MethodPost, intraURL(to, call, bck, ""), wire.ContentJSON, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("%s: the answer of %s to %q cannot be read: %w", t.node.Name(), to, call, err)
	}
	return nil
}

// intraURL is the address of a call about a bucket at another target.
func intraURL(to *meta.Snode, call string, bck wire.Bck, more string) string {
	q := url.Values{wire.QueryProvider: {bck.Provider}, wire.QueryNamespace: {bck.Ns.Uname()}}
	return to.IntraData.URL + wire.PathIntra + "/" + call + "/" + bck.Name + "?" + q.Encode() + more
}

// readQuestion decodes the question of another target, of at most so many bytes.
// Errors: 400 what cannot be decoded, 413 what is longer.
func readQuestion(r *http.Request, most int64, ask any) error {
	body, err := node.ReadBody(r, most)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, ask); err != nil {
		return apierr.BadRequest("failed to unmarshal the question %s: %v", r.URL.Path, err)
	}
	return nil
}
