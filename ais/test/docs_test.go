package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestHTTPAPIPage runs every curl line of docs/http_api.md.
func TestHTTPAPIPage(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	page{name: "http_api.md", env: []string{"AIS=" + c.nodes[1].URL()}}.run(t)
}

// TestCLIPage runs every command of docs/cli.md in a folder of its own.
func TestCLIPage(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 3)
	env := []string{"AIS_ENDPOINT=" + c.nodes[1].URL(), "AIS_CLI_CONFIG_DIR=" + t.TempDir(), "AIS_DIRECT="}
	page{name: "cli.md", env: env, dir: t.TempDir(), stderr: true}.run(t)
}

// TestObjectPages runs the pages about objects and buckets, one after the
// other, on one cluster of one target.
func TestObjectPages(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 1)
	c.Mountpaths = 2
	c.up()
	env := []string{
		"AIS=" + c.nodes[0].URL(), "AIS_ENDPOINT=" + c.nodes[0].URL(), "AIS_CLI_CONFIG_DIR=" + t.TempDir(), "AIS_DIRECT=",
		"TARGET=" + c.nodeID(c.nodes[1]), "TARGET_URL=" + c.nodes[1].URL(), "DISKS=" + c.Root, "MOUNTPATH=" + c.Mountpath(c.nodes[1], 1),
	}
	for _, name := range []string{"object.md", "bucket.md", "aisloader.md", "checksum.md"} {
		page{name: name, env: env, dir: t.TempDir(), stderr: true}.run(t)
	}
}

// TestGoClientPage runs the program of docs/go_client.md, and compares its
// function with the example of the package.
func TestGoClientPage(t *testing.T) {
	t.Parallel()
	blocks := regexp.MustCompile("(?s)```(go|)\n(.*?)```").FindAllStringSubmatch(readText(t, "../../docs/go_client.md"), 2)
	if len(blocks) != 2 || blocks[0][1] != "go" {
		t.Fatal("the page has no program and its output")
	}
	program, want := blocks[0][2], blocks[1][2]
	function := regexp.MustCompile(`(?ms)^func storeAndReadBack.*?^}\n`).FindString(program)
	if function == "" || !strings.Contains(readText(t, "../../api/example_test.go"), function) {
		t.Error("the page's function is not that of api/example_test.go")
	}
	c := startCluster(t, 1, 2)
	main := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(main, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", main)
	cmd.Env = append(os.Environ(), "AIS_ENDPOINT="+c.nodes[0].URL())
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != want {
		t.Errorf("%v, printed:\n%s\nthe page says:\n%s", err, out, want)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// printed compares with the ellipsis as a wildcard.
func printed(want, got string) bool {
	parts := strings.Split(want, "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*") + `$`).MatchString(got)
}

// miniCurl builds the stand-in for machines without curl and returns its folder.
func miniCurl(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "curl"), "./minicurl").CombinedOutput(); err != nil {
		t.Fatalf("build minicurl: %v\n%s", err, out)
	}
	return dir
}

// TestMiniCurl keeps the stand-in honest: it must understand every line of the page.
func TestMiniCurlUnderstandsThePage(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	path := miniCurl(t) + string(os.PathListSeparator) + os.Getenv("PATH")
	for _, e := range examplesOf(t, "../../docs/http_api.md") {
		cmd := exec.Command("/bin/sh", "-c", e.command)
		cmd.Env = append(os.Environ(), "PATH="+path, "AIS="+c.nodes[0].URL())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("line %d: %s: %v\n%s", e.line, e.command, err, out)
		}
	}
}
