package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

const readyTimeout = 60 * time.Second

// commands act on the one playground of the settings.
type commands struct {
	*playground.Cluster
	out io.Writer
}

func (c *commands) say(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }

// deploy configures and starts the cluster, or leaves a running one alone.
func (c *commands) deploy(ctx context.Context) error {
	old, found, err := c.Recall()
	if err != nil {
		return err
	}
	if found && old.Running() {
		c.Cluster = old
		c.say("The cluster in %s is running already (%d proxies, %d targets); `make kill` stops it.", c.Root, c.Proxies, c.Targets)
		return c.startAndWait(ctx)
	}
	if found && (old.Proxies != c.Proxies || old.Targets != c.Targets || old.Mountpaths != c.Mountpaths || old.Port != c.Port) {
		return fmt.Errorf("%s holds a cluster of %d proxies, %d targets, %d mountpaths at port %d: `make run` starts it, `make clean` removes it",
			c.Root, old.Proxies, old.Targets, old.Mountpaths, old.Port)
	}
	if err := c.CheckPorts(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Root, 0o755); err != nil {
		return err
	}
	if err := c.WriteConfiguration(); err != nil {
		return err
	}
	c.say("Cluster folder: %s", c.Root)
	return c.startAndWait(ctx)
}

// runExisting starts the cluster of the last deploy.
func (c *commands) runExisting(ctx context.Context) error {
	old, found, err := c.Recall()
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("there is no cluster in %s: `make deploy` makes one", c.Root)
	}
	c.Cluster = old
	if err := c.startAndWait(ctx); err != nil {
		return err
	}
	c.printWhereToGo()
	return nil
}

// startAndWait starts the nodes that do not run and waits for all of them.
func (c *commands) startAndWait(ctx context.Context) error {
	began := time.Now()
	for _, n := range c.Nodes() {
		if n.PID() != 0 {
			continue
		}
		if err := c.Start(n); err != nil {
			return fmt.Errorf("start %s: %w", n.Name(), err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := c.WaitReady(ctx); err != nil {
		return err
	}
	smap, err := c.Nodes()[0].Smap(ctx)
	if err != nil {
		return err
	}
	c.say("Ready after %.1f s: %d proxies, %d targets with %d mountpaths each, primary %s",
		time.Since(began).Seconds(), c.Proxies, c.Targets, c.Mountpaths, smap.Primary.Public.URL)
	return nil
}

func (c *commands) kill(ctx context.Context) error {
	old, found, err := c.Recall()
	if err != nil {
		return err
	}
	if !found {
		c.say("There is no cluster in %s.", c.Root)
		return nil
	}
	stopped, err := old.Stop(ctx, func(line string) { c.say("%s", line) })
	if err != nil {
		return err
	}
	c.say("Stopped %d nodes of the cluster in %s.", stopped, c.Root)
	return nil
}

func (c *commands) clean(ctx context.Context) error {
	old, found, err := c.Recall()
	if err != nil || !found {
		return err
	}
	if err := c.kill(ctx); err != nil {
		return err
	}
	if err := old.Remove(); err != nil {
		return err
	}
	c.say("Removed the cluster in %s.", c.Root)
	return nil
}

func (c *commands) printWhereToGo() {
	url := c.Nodes()[0].URL()
	c.say(`
Where to go next:
  export AIS_ENDPOINT=%s AIS_CLI_CONFIG_DIR=%s
  bin/ais show cluster
  bin/ais --help
  docs/http_api.md: the REST API, a curl line for every call`, url, c.cliConfig())
}

func (c *commands) cliConfig() string { return filepath.Join(c.Root, "cli") }
