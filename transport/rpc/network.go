package rpc

import (
	"context"
	"net/http"

	"github.com/aistore-go/aistore/cmn/wire"
)

// Network is the client as the control plane sees it. Every url is the base
// URL of a node's intra-control network.
type Network struct{ client *Client }

// Network returns the client as the control plane sees it.
func (c *Client) Network() Network { return Network{c} }

// Send queues a body for the Raft endpoint of a node; see Client.Send.
func (n Network) Send(url string, body []byte) { n.client.Send(url, body) }

// Call posts a body to the control plane of a node and returns its answer.
// Signs of life (kind "keepalive") have connections of their own.
func (n Network) Call(ctx context.Context, url, kind string, body []byte) ([]byte, error) {
	class := Control
	switch kind {
	case "keepalive":
		class = Keepalive
	case KindRaft:
		class = Raft
	}
	if body == nil {
		body = []byte{}
	}
	answer, _, err := n.client.Request(ctx, class, http.MethodPost, url+wire.PathMetasync+"/"+kind, wire.ContentBinary, body)
	return answer, err
}
