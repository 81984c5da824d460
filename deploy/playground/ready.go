package playground

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aistore-go/aistore/cmn/delay"
)

const pollInterval = 20 * time.Millisecond

// Smap is what the playground reads of a cluster map.
type Smap struct {
	Pmap    map[string]json.RawMessage `json:"pmap"`
	Tmap    map[string]json.RawMessage `json:"tmap"`
	Primary struct {
		ID     string `json:"daemon_id"`
		Public struct {
			URL string `json:"direct_url"`
		} `json:"public_net"`
	} `json:"proxy_si"`
	Version string `json:"version"`
}

// Smap asks a node for its cluster map.
func (n *Node) Smap(ctx context.Context) (*Smap, error) {
	m := &Smap{}
	return m, get(ctx, n.URL()+"/v1/daemon?what=smap", m)
}

// WaitReady waits until each of the given nodes (all, if none is given) shows
// at least as many nodes in its map and says that it is ready. A node that
// ended is an error at once, with what it printed.
func (c *Cluster) WaitReady(ctx context.Context, nodes ...*Node) error {
	if len(nodes) == 0 {
		nodes = c.Nodes()
	}
	for _, n := range nodes {
		err := n.wait(ctx, func() error {
			m, err := n.Smap(ctx)
			if seen := len(m.Pmap) + len(m.Tmap); err == nil && seen < len(nodes) {
				err = fmt.Errorf("it sees %d of %d nodes", seen, len(nodes))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	// After all have joined: the primary is ready when it can be spared, too.
	for _, n := range nodes {
		err := n.wait(ctx, func() error { return get(ctx, n.URL()+"/v1/health?readiness=true", nil) })
		if err != nil {
			return err
		}
	}
	return nil
}

// wait asks until the answer is good, the node ended or the context is over.
func (n *Node) wait(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		switch {
		case err == nil:
			return nil
		case n.PID() == 0:
			return fmt.Errorf("%s ended: %s (log: %s)", n.Name(), n.Output(), n.LogDir())
		case delay.For(ctx, pollInterval) != nil:
			return fmt.Errorf("%s is not ready (log: %s): %w", n.Name(), n.LogDir(), err)
		}
	}
}

func get(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}
