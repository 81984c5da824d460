package playground

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Roles of a node.
const (
	Proxy  = "proxy"
	Target = "target"
)

// loopback is where everything listens unless hosts are given: nothing leaves
// the machine.
const loopback = "127.0.0.1"

// Cluster describes a playground: how many nodes, where they listen and
// where their files lie.
type Cluster struct {
	Proxies    int    `json:"proxies"`
	Targets    int    `json:"targets"`
	Mountpaths int    `json:"mountpaths"` // of each target
	Port       int    `json:"port"`       // public port of the first node; control +1000, data +2000; each next node +1
	Root       string `json:"-"`          // folder of everything, absolute
	Bin        string `json:"-"`          // folder of the programs, absolute

	// Config holds sections that replace those of the generated cluster
	// configuration; nil for none.
	Config map[string]any `json:"-"`
	// Env is added to the environment of every node.
	Env []string `json:"-"`
	// Hosts are the addresses of the nodes, nil for loopback. Launcher returns
	// what a node's command line is put behind, to run it in a network of its
	// own; nil for nothing.
	Hosts    []string               `json:"-"`
	Launcher func(n *Node) []string `json:"-"`
}

// Node is one process of the playground. Proxies come first, then targets;
// the index gives the ports and the folder.
type Node struct {
	Index int
	Role  string
	Dir   string // configuration, state, log
	Host  string
	Port  int
}

// Name is the node's name in messages.
func (n *Node) Name() string { return fmt.Sprintf("%s %d (%s)", n.Role, n.Index, n.URL()) }

// URL is the node's public address.
func (n *Node) URL() string { return fmt.Sprintf("http://%s:%d", n.Host, n.Port) }

// ControlURL is the node's intra-control address.
func (n *Node) ControlURL() string { return fmt.Sprintf("http://%s:%d", n.Host, n.Port+1000) }

// LogDir is the folder of the node's log files.
func (n *Node) LogDir() string { return filepath.Join(n.Dir, "log") }

// ClusterFile and LocalFile are the two plain configuration files.
func (n *Node) ClusterFile() string { return filepath.Join(n.Dir, "ais.json") }
func (n *Node) LocalFile() string   { return filepath.Join(n.Dir, "ais_local.json") }

func (n *Node) pidFile() string    { return filepath.Join(n.Dir, "pid") }
func (n *Node) outputFile() string { return filepath.Join(n.Dir, "output") }

// Nodes lists the nodes of the cluster.
func (c *Cluster) Nodes() []*Node {
	nodes := make([]*Node, 0, c.Proxies+c.Targets)
	for i := range c.Proxies + c.Targets {
		role := Proxy
		if i >= c.Proxies {
			role = Target
		}
		n := &Node{Index: i, Role: role, Dir: filepath.Join(c.Root, "node"+strconv.Itoa(i)), Host: loopback, Port: c.Port + i}
		if c.Hosts != nil {
			n.Host = c.Hosts[i]
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// Mountpath is the i-th mountpath (from 1) of a target.
func (c *Cluster) Mountpath(n *Node, i int) string {
	return filepath.Join(c.Root, "mp"+strconv.Itoa(i), strconv.Itoa(n.Index-c.Proxies+1))
}

// PromoteRoot is the folder below which files can be promoted.
func (c *Cluster) PromoteRoot() string { return filepath.Join(c.Root, "promote") }

// WriteConfiguration makes the folder of every node with its two files, and
// remembers in the folder what the playground was made with.
func (c *Cluster) WriteConfiguration() error {
	nodes := c.Nodes()
	if err := os.MkdirAll(c.PromoteRoot(), 0o755); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := os.MkdirAll(n.LogDir(), 0o755); err != nil {
			return err
		}
		if err := errors.Join(writeJSON(n.ClusterFile(), c.clusterConfig(nodes)), writeJSON(n.LocalFile(), c.localConfig(n))); err != nil {
			return err
		}
	}
	return writeJSON(c.rememberFile(), c)
}

func (c *Cluster) clusterConfig(nodes []*Node) map[string]any {
	discovery := ""
	if c.Proxies > 1 {
		discovery = nodes[1].ControlURL()
	}
	config := map[string]any{
		"backend": map[string]any{},
		"timeout": map[string]string{
			"cplane_operation": "2s", "max_keepalive": "5s", "cold_get_conflict": "5s", "max_host_busy": "20s",
			"startup_time": "1m", "join_startup_time": "3m", "send_file_time": "5m", "ec_streams_time": "10m", "object_md": "2h",
		},
		"proxy": map[string]any{
			"primary_url": nodes[0].ControlURL(), "original_url": nodes[0].ControlURL(), "discovery_url": discovery, "non_electable": false,
		},
		"space": map[string]any{
			"cleanupwm": 65, "lowwm": 75, "highwm": 90, "out_of_space": 95, "batch_size": 32768, "dont_cleanup_time": "120m",
		},
		"resilver":   map[string]any{"enabled": true},
		"memsys":     map[string]any{"min_free": "2gb", "default_buf": "32kb", "to_gc": "4gb", "hk_time": "3m", "min_pct_total": 0, "min_pct_free": 0},
		"versioning": map[string]any{"enabled": true, "validate_warm_get": false},
		"net": map[string]any{
			"l4":   map[string]any{"proto": "tcp", "sndrcv_buf_size": 131072},
			"http": map[string]any{"use_https": false, "idle_conn_time": "20s", "idle_conns_per_host": 128, "idle_conns": 4096, "chunked_transfer": true},
		},
		"auth": map[string]any{"client_auth_required": false},
	}
	for section, value := range c.Config {
		config[section] = value
	}
	return config
}

func (c *Cluster) localConfig(n *Node) map[string]any {
	local := map[string]any{
		"confdir": n.Dir,
		"log_dir": n.LogDir(),
		"host_net": map[string]string{
			"hostname": n.Host, "hostname_intra_control": n.Host, "hostname_intra_data": n.Host,
			"port": strconv.Itoa(n.Port), "port_intra_control": strconv.Itoa(n.Port + 1000), "port_intra_data": strconv.Itoa(n.Port + 2000),
		},
		"fspaths":      map[string]string{},
		"test_fspaths": map[string]any{"root": c.Root, "count": 0, "instance": 0},
	}
	if n.Role == Target {
		local["promote_roots"] = []string{c.PromoteRoot()}
		local["test_fspaths"] = map[string]any{"root": c.Root, "count": c.Mountpaths, "instance": n.Index - c.Proxies + 1}
	}
	return local
}

func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// rememberFile also marks the folder as a playground's: nothing else is removed.
func (c *Cluster) rememberFile() string { return filepath.Join(c.Root, "playground.json") }

// Recall returns the playground that lies in the folder of c, so that it can
// be stopped or started without being described again. found is false if
// there is none.
func (c *Cluster) Recall() (old *Cluster, found bool, err error) {
	data, err := os.ReadFile(c.rememberFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	old = &Cluster{}
	if err := json.Unmarshal(data, old); err != nil {
		return nil, false, fmt.Errorf("%s: %w", c.rememberFile(), err)
	}
	old.Root, old.Bin, old.Env = c.Root, c.Bin, c.Env
	return old, true, nil
}

// Remove removes what the playground made, and nothing else, from its folder.
func (c *Cluster) Remove() error {
	ours := []string{c.rememberFile(), filepath.Join(c.Root, "cli"), filepath.Join(c.Root, "demo")}
	for _, n := range c.Nodes() {
		ours = append(ours, n.Dir)
	}
	for i := 1; i <= c.Mountpaths; i++ {
		ours = append(ours, filepath.Join(c.Root, "mp"+strconv.Itoa(i)))
	}
	for _, path := range ours {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	// Folders that hold something of the user's stay.
	if left, err := os.ReadDir(c.PromoteRoot()); err == nil && len(left) == 0 {
		if err := os.Remove(c.PromoteRoot()); err != nil {
			return err
		}
	}
	if left, err := os.ReadDir(c.Root); err != nil || len(left) > 0 {
		return err
	}
	return os.Remove(c.Root)
}
