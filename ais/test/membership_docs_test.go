package test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// actFunction is the shell function that the page defines.
const actFunction = `act() { curl -s -X PUT "$AIS/v1/cluster" -H 'Content-Type: application/json' -d "{\"action\":\"$1\",\"value\":$2}"; }`

// TestClusterPage runs every command of docs/cluster.md, in order. With
// AIS_SHOW_PAGE set it prints what they print.
func TestClusterPage(t *testing.T) {
	t.Parallel()
	const page = "../../docs/cluster.md"
	if !strings.Contains(readText(t, page), actFunction) {
		t.Fatal("the page does not define act as the test does")
	}
	c := startCluster(t, 3, 3)
	primary, _ := c.settledPrimary()
	others := c.secondaries()
	path := os.Getenv("PATH")
	if _, err := exec.LookPath("curl"); err != nil {
		path = miniCurl(t) + string(os.PathListSeparator) + path
	}
	env := append(os.Environ(), "PATH="+path, "AIS="+primary.URL(),
		"TARGET="+c.idOf(c.targets()[0]), "PROXY="+c.idOf(others[0]), "OTHER="+c.idOf(others[1]))
	for _, e := range examplesOf(t, page) {
		cmd := exec.Command("/bin/sh", "-c", actFunction+"\n"+e.command)
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("line %d: %s: %v", e.line, e.command, err)
		}
		got := strings.TrimSuffix(strings.ReplaceAll(string(out), "\r", ""), "\n")
		if os.Getenv("AIS_SHOW_PAGE") != "" {
			t.Logf("$ %s\n%s", e.command, got)
			continue
		}
		if want := strings.Join(e.want, "\n"); !printed(want, got) {
			t.Errorf("line %d: %s\nprinted:\n%s\nthe page says:\n%s", e.line, e.command, got, want)
		}
	}
	for _, n := range c.nodes {
		c.awaitStopped(n)
	}
}
