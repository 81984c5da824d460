package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/aistore-go/aistore/ais/node"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/rechunk"
)

// rechunkBucket starts the job that stores the objects of a bucket in chunks of
// another size, or in one file each. Clients send the names of the message's keys
// with hyphens or with underscores.
func (p *Proxy) rechunkBucket(w http.ResponseWriter, r *http.Request, bck wire.Bck, body []byte, msg *node.ActMsg) error {
	var value struct {
		wire.RechunkMsg
		SizeLimit2  *int64 `json:"objsize_limit"`
		ChunkSize2  *int64 `json:"chunk_size"`
		SyncRemote2 *bool  `json:"sync_remote"`
	}
	if err := node.DecodeValue(msg.Value, &value, msg.Action); err != nil {
		return err
	}
	args := rechunk.Args{Rechunk: &value.RechunkMsg}
	if value.SizeLimit2 != nil {
		args.Rechunk.SizeLimit = *value.SizeLimit2
	}
	if value.ChunkSize2 != nil {
		args.Rechunk.ChunkSize = *value.ChunkSize2
	}
	if value.SyncRemote2 != nil {
		args.Rechunk.SyncRemote = *value.SyncRemote2
	}
	return p.startJob(w, r, body, func(view *meta.View) (*xact.Spec, error) {
		props, err := bucketFor(view, bck, meta.AccessGet|meta.AccessPut)
		if err != nil {
			return nil, err
		}
		if _, err := rechunk.Check(bck, props, args.Rechunk); err != nil {
			return nil, err
		}
		encoded, err := json.Marshal(&args)
		control := fmt.Sprintf("objsize-limit=%d, chunk-size=%d, prefix=%q", args.Rechunk.SizeLimit, args.Rechunk.ChunkSize, args.Rechunk.Prefix)
		return onTargets(view, &xact.Spec{Kind: msg.Action, Bck: bck, BID: props.BID, Args: encoded, Control: control}), err
	}, nil)
}
