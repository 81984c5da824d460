package test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// example is one command of a page and what the page says it prints.
type example struct {
	line    int
	command string
	want    []string
}

// examplesOf reads the console blocks of a page: "$ " starts a command, what
// follows is its output. A line that ends in a backslash goes on in the next.
func examplesOf(t *testing.T, page string) (examples []example) {
	t.Helper()
	inside, open := false, false
	for i, line := range strings.Split(readText(t, page), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside, open = line == "```console", false
		case !inside:
		case open:
			last := &examples[len(examples)-1]
			last.command += "\n" + line
			open = strings.HasSuffix(line, `\`)
		case strings.HasPrefix(line, "$ "):
			examples = append(examples, example{line: i + 1, command: line[2:]})
			open = strings.HasSuffix(line, `\`)
		case len(examples) > 0:
			last := &examples[len(examples)-1]
			last.want = append(last.want, line)
		}
	}
	if len(examples) == 0 {
		t.Fatalf("%s has no examples", page)
	}
	return examples
}

// page is a page of docs/ whose console blocks are run in order, each command
// by a shell of its own.
type page struct {
	name      string
	env       []string // beside that of the test
	dir       string   // "": the test's
	functions string   // of the shell, which the page defines
	stderr    bool     // what goes to stderr is part of the transcript
}

// run compares what the commands print with what the page says. With
// AIS_SHOW_PAGE set it prints that instead.
func (p page) run(t *testing.T) {
	t.Helper()
	path := programs + string(os.PathListSeparator) + os.Getenv("PATH")
	if _, err := exec.LookPath("curl"); err != nil {
		path = miniCurl(t) + string(os.PathListSeparator) + path
	}
	env := append(append(os.Environ(), "PATH="+path), p.env...)
	for _, e := range examplesOf(t, "../../docs/"+p.name) {
		ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
		cmd := exec.CommandContext(ctx, "bash", "-c", p.functions+"\n"+e.command)
		cmd.Env, cmd.Dir = env, p.dir
		run := cmd.Output
		if p.stderr {
			run = cmd.CombinedOutput
		}
		out, err := run()
		late := ctx.Err() != nil
		cancel()
		got := strings.TrimSuffix(strings.ReplaceAll(string(out), "\r", ""), "\n")
		if os.Getenv("AIS_SHOW_PAGE") != "" {
			t.Logf("%s:%d\n$ %s\n%s", p.name, e.line, e.command, got)
			continue
		}
		if err != nil {
			t.Errorf("%s:%d: %s: %v", p.name, e.line, e.command, err)
		}
		if late {
			t.Fatalf("%s:%d: the command does not end; the rest of the page is not run", p.name, e.line)
		}
		if want := strings.Join(e.want, "\n"); !printed(want, got) {
			t.Errorf("%s:%d: %s\nprinted:\n%s\nthe page says:\n%s", p.name, e.line, e.command, got, want)
		}
	}
}
