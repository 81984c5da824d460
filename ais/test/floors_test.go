package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/aistore-go/aistore/"

// floors lists the folders from the ground up. A package may import lower
// floors; neighbours only as allowedEdges says. The longest prefix counts.
var floors = map[string]int{
	"memsys":         10,
	"cmn":            20,
	"fs":             30,
	"core/meta":      40,
	"core":           41,
	"mirror":         50,
	"transport":      50,
	"api":            50,
	"ec":             60,
	"backend":        60,
	"xact":           70,
	"ext":            80,
	"ais/jobs":       85,
	"ais/node":       90,
	"ais/metasync":   90,
	"ais/s3":         90,
	"ais/membership": 92,
	"ais/proxy":      95,
	"ais/target":     95,
	"ais/aistest":    96,
	"ais/test":       100,
	"cmd":            100,
	"deploy":         100,
}

// allowedEdges are the imports between neighbours that are wanted: a folder's
// own sub-packages, and the vocabulary within floor 2.
var allowedEdges = map[string][]string{
	"cmn":       {"cmn"},
	"fs":        {"fs"},
	"core":      {"core"},
	"core/meta": {"core/meta"},
	"xact":      {"xact"},
	"transport": {"transport"},
	"api":       {"api"},
	"ais/node":  {"ais/node"},
	"cmd":       {"cmd"},
	"deploy":    {"deploy", "cmd/aisloader/load"},
	"ais/test":  {"ais/test"},
}

// apiImports: the Go client is for programs of others; it imports only this.
var apiImports = []string{"cmn", "core/meta", "api"}

func TestNoPackageImportsUpwards(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		from := strings.TrimPrefix(p.ImportPath, module)
		fromFolder, fromFloor := folderOf(t, from)
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			_, toFloor := folderOf(t, to)
			if fromFolder == "api" && !within(to, apiImports) {
				t.Errorf("%s imports %s: the client may import only %v", from, to, apiImports)
			}
			if toFloor < fromFloor || within(to, allowedEdges[fromFolder]) {
				continue
			}
			t.Errorf("%s (floor %d) imports %s (floor %d): only lower floors and %v are allowed", from, fromFloor, to, toFloor, allowedEdges[fromFolder])
		}
	}
}

// TestEngineKnowsNoHTTP: the engine can be embedded without a socket.
func TestEngineKnowsNoHTTP(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./fs/...", "./core/...", "./xact/...", "./ais/metasync/...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	// Status numbers are named by net/http; nothing else of it may be used by
	// the engine, so the package as a whole is refused.
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		for _, imported := range fields[1:] {
			if imported == "net/http" {
				t.Errorf("%s imports net/http", fields[0])
			}
		}
	}
}

func folderOf(t *testing.T, path string) (string, int) {
	t.Helper()
	for prefix := path; ; {
		if floor, ok := floors[prefix]; ok {
			return prefix, floor
		}
		cut := strings.LastIndexByte(prefix, '/')
		if cut < 0 {
			t.Fatalf("%s stands on no floor: add its folder to the list", path)
		}
		prefix = prefix[:cut]
	}
}

func within(path string, folders []string) bool {
	for _, f := range folders {
		if path == f || strings.HasPrefix(path, f+"/") {
			return true
		}
	}
	return false
}
