package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/deploy/playground"
)

const (
	bucket    = "bench"
	firstPort = 15080
)

// clusterOptions describe a cluster of one gateway and one target, or more.
type clusterOptions struct {
	targets          int // 0: 1
	bin, root        string
	port             int
	durability       string // of the bucket; empty = none
	secure           bool   // TLS on all listeners
	countAllocations bool
	fill             []workingSet
}

// cluster is ours, with one bucket.
type cluster struct {
	*playground.Cluster
	secure  bool
	client  *http.Client
	version string // of the cluster map, for direct writes
}

func startCluster(ctx context.Context, o *clusterOptions) (*cluster, error) {
	c := &cluster{
		Cluster: &playground.Cluster{Proxies: 1, Targets: max(1, o.targets), Mountpaths: 1, Port: o.port, Root: o.root, Bin: o.bin, Config: map[string]any{}},
		secure:  o.secure,
		client:  &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: anyCertificate(), MaxIdleConnsPerHost: 8}},
	}
	if o.countAllocations {
		c.Config["features"] = strconv.FormatUint(uint64(feature.GoRuntimeMetrics), 10)
	}
	if err := errors.Join(c.CheckPorts(), os.MkdirAll(o.root, 0o755)); err != nil {
		return nil, err
	}
	if o.secure {
		if err := c.useTLS(); err != nil {
			return nil, err
		}
	}
	if err := c.WriteConfiguration(); err != nil {
		return nil, err
	}
	for _, n := range c.Nodes() {
		if err := c.Start(n); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := c.waitReady(ctx)
	if err == nil {
		err = c.makeBucket(ctx, bucket, o.durability)
	}
	if err == nil {
		err = c.fill(ctx, o.fill)
	}
	if err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *cluster) stop() error {
	c.client.CloseIdleConnections()
	_, err := c.Stop(context.Background(), func(line string) { fmt.Fprintln(os.Stderr, line) })
	return err
}

// waitReady waits until both nodes serve; it also keeps the map's version.
func (c *cluster) waitReady(ctx context.Context) error {
	if !c.secure {
		if err := c.WaitReady(ctx); err != nil {
			return err
		}
	}
	for {
		err := c.request(ctx, http.MethodGet, c.proxy()+"/v1/health?readiness=true", "", nil)
		smap := playground.Smap{}
		if err == nil {
			err = c.request(ctx, http.MethodGet, c.proxy()+"/v1/daemon?what=smap", "", &smap)
		}
		if err == nil && len(smap.Tmap) == c.Targets {
			c.version = smap.Version
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s is not ready: %w", c.proxy(), ctx.Err()), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *cluster) makeBucket(ctx context.Context, name, durability string) error {
	if durability == "" {
		durability = "none"
	}
	body, err := json.Marshal(map[string]any{"action": "create-bck", "value": map[string]string{"durability": durability}})
	if err != nil {
		return err
	}
	return c.request(ctx, http.MethodPost, c.proxy()+"/v1/buckets/"+name, string(body), nil)
}

// fill stores what the rows read.
func (c *cluster) fill(ctx context.Context, sets []workingSet) error {
	for _, s := range sets {
		if err := s.store(ctx, address(c.target()), "/v1/objects/"+bucket, c.directHead(), c.loadOptions()); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) url(n *playground.Node) string {
	if c.secure {
		return strings.Replace(n.URL(), "http:", "https:", 1)
	}
	return n.URL()
}

func (c *cluster) proxy() string      { return c.url(c.Nodes()[0]) }
func (c *cluster) target() string     { return c.url(c.Nodes()[1]) }
func (c *cluster) directHead() string { return "Ais-Smap-Version: " + c.version + "\r\n" }

// processes are the gateway's and those of the targets.
func (c *cluster) processes() (pids []int) {
	for _, n := range c.Nodes() {
		pids = append(pids, n.PID())
	}
	return pids
}

func (c *cluster) loadOptions() load.Options {
	if c.secure {
		return load.Options{TLS: anyCertificate()}
	}
	return load.Options{}
}

// anyCertificate is for clusters that this program has made itself.
func anyCertificate() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // see above
}

func address(url string) string {
	_, host, _ := strings.Cut(url, "://")
	return host
}

// request makes a call and decodes its JSON answer, if that is asked for.
func (c *cluster) request(ctx context.Context, method, url, body string, into any) error {
	text, err := c.text(ctx, method, url, body)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}

// text makes a call and returns its answer.
func (c *cluster) text(ctx context.Context, method, url, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	if resp.StatusCode >= 300 {
		return "", fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return string(text), nil
}
