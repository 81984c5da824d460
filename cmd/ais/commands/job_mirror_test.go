package commands

import (
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// TestStartMirror: what the tool says of copies, and which numbers are refused.
func TestStartMirror(t *testing.T) {
	j := &jobCluster{t: t, dir: t.TempDir(), c: aistest.New(t, aistest.Options{Targets: 1, Mountpaths: 2})}
	j.expect("create ais://b", 0)
	j.expect("start mirror ais://b --copies 2 --wait", 0, "Started mirror[", "Done.")
	j.expect("bucket props show ais://b mirror", 0, "mirror.copies", "2")
	j.expect("start mirror ais://b --copies 3", 1, "number of copies (3) exceeds the number of mountpaths (2)")
	j.expect("start mirror ais://b --copies 17", 1, "expecting 1 to 16")
	j.expect("start mirror ais://b", 1, "missing --copies")
	j.expect("start mirror --copies 2", 1, "missing bucket name")
	j.expect("start mirror ais://b ais://c --copies 2", 1, "expected one bucket")
	j.expect("start mirror ais://none --copies 2", 1, "does not exist")
	if id := strings.TrimSpace(j.expect("start mirror ais://b --copies 1 -nv", 0)); len(id) < 9 || strings.ContainsAny(id, " []") {
		t.Errorf("%q is no id", id)
	}
	j.expect("start mirror --help", 0, "ais start mirror ais://b --copies 2", "--copies")
	j.expect("create ais://m --props {\"mirror\":{\"enabled\":true,\"copies\":3}}", 1, "number of copies (3) exceeds the number of mountpaths (2)")
}
