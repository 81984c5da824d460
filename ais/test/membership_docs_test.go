package test

import (
	"strings"
	"testing"
)

// actFunction is the shell function that the page defines.
const actFunction = `act() { curl -s -X PUT "$AIS/v1/cluster" -H 'Content-Type: application/json' -d "{\"action\":\"$1\",\"value\":$2}"; }`

// TestClusterPage runs every command of docs/cluster.md.
func TestClusterPage(t *testing.T) {
	t.Parallel()
	if !strings.Contains(readText(t, "../../docs/cluster.md"), actFunction) {
		t.Fatal("the page does not define act as the test does")
	}
	c := startCluster(t, 3, 3)
	primary, _ := c.settledPrimary()
	others := c.secondaries()
	page{name: "cluster.md", functions: actFunction, env: []string{
		"AIS=" + primary.URL(), "TARGET=" + c.idOf(c.targets()[0]), "PROXY=" + c.idOf(others[0]), "OTHER=" + c.idOf(others[1]),
		"AIS_ENDPOINT=" + primary.URL(), "AIS_CLI_CONFIG_DIR=" + t.TempDir(), "AIS_DIRECT=",
	}}.run(t)
	for _, n := range c.nodes {
		c.awaitStopped(n)
	}
}
