package test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestHighAvailabilityPage runs every command of docs/ha.md, in order, in the
// folder of a playground, with the functions that the page defines. With
// AIS_SHOW_PAGE set it prints what they print.
func TestHighAvailabilityPage(t *testing.T) {
	t.Parallel()
	const page = "../../docs/ha.md"
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl: the page needs its -D, -f and -w")
	}
	functions := regexp.MustCompile("(?s)```sh\n(.*?)```").FindStringSubmatch(readText(t, page))
	if functions == nil {
		t.Fatal("the page defines no functions")
	}
	c := startCluster(t, 3, 3)
	c.waitVoters(5)
	if primary, _ := c.settledPrimary(); primary != c.nodes[0] {
		t.Fatalf("the primary is %s", primary.Name())
	}
	env := append(os.Environ(), "PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"), "PORT="+strconv.Itoa(c.Port))
	for _, e := range examplesOf(t, page) {
		ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
		cmd := exec.CommandContext(ctx, "bash", "-c", functions[1]+e.command)
		cmd.Env, cmd.Dir = env, c.Root
		out, err := cmd.CombinedOutput()
		cancel()
		got := strings.TrimSuffix(strings.ReplaceAll(string(out), "\r", ""), "\n")
		if os.Getenv("AIS_SHOW_PAGE") != "" {
			t.Logf("$ %s\n%s", e.command, got)
		}
		if err != nil {
			t.Fatalf("line %d: %s: %v\n%s", e.line, e.command, err, got)
		}
		if want := strings.Join(e.want, "\n"); !printed(want, got) {
			t.Errorf("line %d: %s\nprinted:\n%s\nthe page says:\n%s", e.line, e.command, got, want)
		}
	}
}
