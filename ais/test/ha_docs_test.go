package test

import (
	"regexp"
	"strconv"
	"testing"
)

// TestHighAvailabilityPage runs every command of docs/ha.md in the folder of
// a playground, with the functions that the page defines.
func TestHighAvailabilityPage(t *testing.T) {
	t.Parallel()
	functions := regexp.MustCompile("(?s)```sh\n(.*?)```").FindStringSubmatch(readText(t, "../../docs/ha.md"))
	if functions == nil {
		t.Fatal("the page defines no functions")
	}
	c := startCluster(t, 3, 3)
	c.waitVoters(5)
	if primary, _ := c.settledPrimary(); primary != c.nodes[0] {
		t.Fatalf("the primary is %s", primary.Name())
	}
	page{name: "ha.md", functions: functions[1], env: []string{"PORT=" + strconv.Itoa(c.Port)}, dir: c.Root, stderr: true}.run(t)
}
