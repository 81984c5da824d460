package playground

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
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

// WaitReady waits until a node says that it is ready. A node that ended is an
// error at once, with what it printed.
func (n *Node) WaitReady(ctx context.Context) error {
	for {
		if get(ctx, n.URL()+"/v1/health?readiness=true", nil) == nil {
			return nil
		}
		if n.PID() == 0 {
			return fmt.Errorf("%s ended: %s (log: %s)", n.Name(), n.Output(), n.LogDir())
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%s is not ready (log: %s): %w", n.Name(), n.LogDir(), err)
		}
	}
}

// Smap asks a node for its cluster map.
func (n *Node) Smap(ctx context.Context) (*Smap, error) {
	m := &Smap{}
	return m, get(ctx, n.URL()+"/v1/daemon?what=smap", m)
}

// WaitReady waits until the given nodes (all, if none is given) are ready and
// each of their maps shows exactly as many nodes.
func (c *Cluster) WaitReady(ctx context.Context, nodes ...*Node) error {
	if len(nodes) == 0 {
		nodes = c.Nodes()
	}
	for _, n := range nodes {
		if err := n.WaitReady(ctx); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		for {
			m, err := n.Smap(ctx)
			if err == nil && len(m.Pmap)+len(m.Tmap) >= len(nodes) {
				break
			}
			if err := pause(ctx); err != nil {
				return fmt.Errorf("%s sees %d of %d nodes: %w", n.Name(), len(m.Pmap)+len(m.Tmap), len(nodes), err)
			}
		}
	}
	return nil
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

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pollInterval):
		return nil
	}
}
