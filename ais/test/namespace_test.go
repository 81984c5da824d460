package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aistore-go/aistore/deploy/playground"
)

// Environment of a test that runs again inside namespaces of its own.
const (
	envInside   = "AIS_TEST_INSIDE"            // "yes" inside
	envPrograms = "AIS_TEST_PROGRAMS"          // folder of the binaries, built outside
	envRequire  = "AIS_TEST_REQUIRE_NAMESPACE" // "yes": no skip where the kernel forbids namespaces
)

// insideLimit bounds a test that runs inside namespaces.
const insideLimit = 5 * time.Minute

// inNamespaces runs the rest of a test in user, network and mount namespaces
// of its own, by running the test binary again. It returns true inside: there,
// loopback is up and /run is writable; outside the test is over when it
// returns false.
func inNamespaces(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envInside) == "yes" {
		system(t, "mount", "--make-rprivate", "/")
		system(t, "mount", "-t", "tmpfs", "tmpfs", "/run")
		system(t, "ip", "link", "set", "lo", "up")
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), insideLimit)
	defer cancel()
	attributes := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	probe := exec.CommandContext(ctx, "ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1")
	probe.SysProcAttr = attributes
	if out, err := probe.CombinedOutput(); err != nil {
		if os.Getenv(envRequire) == "yes" {
			t.Fatalf("no network namespaces here: %v: %s", err, out)
		}
		t.Skipf("the kernel forbids network namespaces to this user, or there is no ip: %v: %s", err, out)
	}
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout="+insideLimit.String())
	cmd.Env = append(os.Environ(), envInside+"=yes", envPrograms+"="+programs)
	cmd.SysProcAttr = attributes
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("inside: %v\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("inside:\n%s", out)
	}
	return false
}

// system runs a command of the operating system.
func system(t *testing.T, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}

// network is a cluster whose nodes have a network namespace each, tied to one
// of two bridges. Nodes at different bridges do not reach each other; the test
// reaches all of them.
type network struct {
	*cluster
	bridge map[int]string // by node index
}

// newNetwork prepares such a cluster without starting it.
func newNetwork(t *testing.T, proxies, targets int) *network {
	t.Helper()
	// An address of its own for the test at each bridge, by which it asks the
	// nodes that are tied to it.
	for i, name := range []string{"left", "right"} {
		system(t, "ip", "link", "add", name, "type", "bridge")
		system(t, "ip", "address", "add", "10.88.0."+strconv.Itoa(250+i)+"/32", "dev", name)
		system(t, "ip", "link", "set", name, "up")
	}
	nw := &network{cluster: newCluster(t, proxies, targets), bridge: map[int]string{}}
	for i := range nw.nodes {
		space, outer := fmt.Sprintf("node%d", i), fmt.Sprintf("outer%d", i)
		nw.Hosts = append(nw.Hosts, "10.88.0."+strconv.Itoa(i+1))
		system(t, "ip", "netns", "add", space)
		system(t, "ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
		system(t, "ip", "-n", space, "address", "add", nw.Hosts[i]+"/24", "dev", "eth0")
		system(t, "ip", "-n", space, "link", "set", "eth0", "up")
		system(t, "ip", "-n", space, "link", "set", "lo", "up")
		system(t, "ip", "link", "set", outer, "up")
		nw.tie(i, "left")
	}
	nw.Launcher = func(n *playground.Node) []string {
		return []string{"ip", "netns", "exec", fmt.Sprintf("node%d", n.Index)}
	}
	nw.nodes = nw.Nodes()
	return nw
}

// tie connects a node to a bridge, and to no other.
func (nw *network) tie(node int, bridge string) {
	nw.t.Helper()
	if nw.bridge[node] == bridge {
		return
	}
	source := map[string]string{"left": "10.88.0.250", "right": "10.88.0.251"}[bridge]
	system(nw.t, "ip", "link", "set", fmt.Sprintf("outer%d", node), "master", bridge)
	system(nw.t, "ip", "route", "replace", nw.Hosts[node]+"/32", "dev", bridge, "src", source)
	nw.bridge[node] = bridge
}

// isolate cuts nodes off from all others; those of one call reach each other.
func (nw *network) isolate(nodes ...*playground.Node) {
	nw.t.Helper()
	for _, n := range nodes {
		nw.tie(n.Index, "right")
	}
}

// heal connects all nodes again.
func (nw *network) heal() {
	nw.t.Helper()
	for i := range nw.nodes {
		nw.tie(i, "left")
	}
}

// dead makes a node's packets to another one vanish, one way.
func (nw *network) dead(from, to *playground.Node) {
	nw.t.Helper()
	system(nw.t, "ip", "-n", fmt.Sprintf("node%d", from.Index), "route", "add", "blackhole", to.Host+"/32")
}

// smallDisk puts a node's configuration directory on a filesystem of its own
// of the given size, before the node is started.
func (c *cluster) smallDisk(n *playground.Node, bytes int) {
	c.t.Helper()
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	system(c.t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", bytes), "tmpfs", n.Dir)
	c.t.Cleanup(func() { system(c.t, "umount", "-l", n.Dir) })
}

// fillDisk takes all room of the filesystem of a directory; the returned
// function gives it back.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(chunk)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
