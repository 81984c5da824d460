package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	bucket     = "bench"
	smallSize  = 4 << 10
	largeSize  = 32 << 20
	smallCount = 1000
	firstPort  = 15080
)

// cluster is ours: one gateway and one target, without flushes.
type cluster struct {
	*playground.Cluster
	version string // of the cluster map, for direct writes
}

func startOurs(ctx context.Context, bin, root string, counts bool) (*cluster, error) {
	c := &cluster{Cluster: &playground.Cluster{Proxies: 1, Targets: 1, Mountpaths: 1, Port: firstPort, Root: root, Bin: bin}}
	if counts {
		c.Config = map[string]any{"features": strconv.FormatUint(uint64(feature.GoRuntimeMetrics), 10)}
	}
	if err := errors.Join(c.CheckPorts(), os.MkdirAll(root, 0o755)); err != nil {
		return nil, err
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
	err := c.WaitReady(ctx)
	if err == nil {
		err = c.fill(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *cluster) stop() error {
	_, err := c.Stop(context.Background(), func(line string) { fmt.Fprintln(os.Stderr, line) })
	return err
}

func (c *cluster) fill(ctx context.Context) error {
	body, err := json.Marshal(map[string]any{"action": "create-bck", "value": map[string]string{"durability": "none"}})
	if err != nil {
		return err
	}
	if err := request(ctx, http.MethodPost, c.proxy()+"/v1/buckets/"+bucket, string(body)); err != nil {
		return err
	}
	smap, err := c.Nodes()[0].Smap(ctx)
	if err != nil {
		return err
	}
	c.version = smap.Version
	for i := range smallCount {
		if err := request(ctx, http.MethodPut, fmt.Sprintf("%s/v1/objects/%s/s%d", c.proxy(), bucket, i), string(payload(smallSize))); err != nil {
			return err
		}
	}
	return request(ctx, http.MethodPut, fmt.Sprintf("%s/v1/objects/%s/large", c.proxy(), bucket), string(payload(largeSize)))
}

func (c *cluster) proxy() string      { return c.Nodes()[0].URL() }
func (c *cluster) target() string     { return c.Nodes()[1].URL() }
func (c *cluster) processes() []int   { return []int{c.Nodes()[0].PID(), c.Nodes()[1].PID()} }
func (c *cluster) directHead() string { return "Ais-Smap-Version: " + c.version + "\r\n" }

func address(url string) string { return strings.TrimPrefix(url, "http://") }

func request(ctx context.Context, method, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return nil
}

func payload(size int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	b := make([]byte, size)
	_, _ = random.Read(b) // never fails
	return b
}

// reads makes GETs of small objects at an address.
func reads(addr, prefix string) load.Operation {
	return func(random *rand.Rand, _ int) (string, load.Request) {
		return addr, load.Request{Method: "GET", Path: fmt.Sprintf("%s/s%d", prefix, random.IntN(smallCount))}
	}
}

// writes makes PUTs that overwrite a thousand small objects.
func writes(addr, prefix, headers string, body []byte) load.Operation {
	return func(random *rand.Rand, _ int) (string, load.Request) {
		return addr, load.Request{Method: "PUT", Path: fmt.Sprintf("%s/p%d", prefix, random.IntN(smallCount)), Headers: headers, Body: body}
	}
}

func readsLarge(addr, prefix string) load.Operation {
	return func(*rand.Rand, int) (string, load.Request) {
		return addr, load.Request{Method: "GET", Path: prefix + "/large"}
	}
}
