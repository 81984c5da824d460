package commands

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// TestBulkCommands: what the tool says of copies, renames, summaries,
// promotions and removals.
func TestBulkCommands(t *testing.T) {
	root := t.TempDir()
	j := &jobCluster{t: t, dir: t.TempDir(), c: aistest.New(t, aistest.Options{Targets: 2, Promote: root})}
	for _, name := range []string{"a-01", "a-02", "a-03", "b"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("content of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j.expect("create ais://src", 0)
	j.expect("object promote "+root+"/b ais://src/dir/ --target-id "+j.c.Targets[0].ID(), 0, `promoted "`+root+`/b" => ais://src/dir/`)
	j.expect("object promote "+root+" ais://src --wait", 0, "Started promote-files[", "Done.")
	j.expect("object promote /etc/hostname ais://src", 1, "invalid promote source")
	j.expect("object promote relative ais://src", 1, "absolute path")

	j.expect("cp ais://src ais://dst --wait", 0, "Started copy-bucket[", "Done.", "is created with the properties of ais://src")
	j.expect("cp ais://src ais://dst --template a-{01..02} --prepend x/ --wait", 0, "Started copy-objects[tco-", "Done.")
	j.expect("cp ais://src/dir/ ais://dst --ext b=c --dry-run --wait", 0, "Done.")
	j.expect("cp ais://src ais://src", 1, "onto itself")
	j.expect("cp ais://src", 1, "expecting a source and a destination")
	j.expect("cp ais://src ais://dst --list a --template b", 1, "one of --list and --template")
	j.expect("cp ais://src ais://dst --ext x", 1, "OLD=NEW")
	out := j.expect("ls ais://dst --name-only", 0)
	if want := "a-01 a-02 a-03 b dir/b x/a-01 x/a-02"; !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
		t.Errorf("names: %s", out)
	}
	j.expect("bucket summary ais://src --units raw", 0, "ais://src", "5 0", "12 14 15", "69 0")
	j.expect("bucket summary --no-headers", 0, "ais://src", "ais://dst")
	j.expect("bucket summary ais://none", 1, "does not exist")

	j.expect("bucket summary ais://src --refresh 1 --count 1 --no-headers", 0, "ais://src")
	j.expect("storage summary ais://src --units raw", 0, "ais://src", "5 0", "69 0")
	j.expect("ls --summary --no-headers", 0, "ais://src", "ais://dst")
	j.expect("ls ais://src/a- --summary --units raw", 0, "ais://src", "3 0", "45 0")
	j.expect("ls ais://src/a- --summary --prefix b", 1, "--prefix")
	j.expect("ls ais://none --summary", 1, "does not exist")

	j.expect("bucket rechunk ais://src --chunk-size 1KiB --objsize-limit 1KiB --wait", 0, "Started rechunk[", "Done.")
	j.expect("bucket rechunk ais://src/a- --yes --nv --wait", 0)
	j.expect("bucket rechunk ais://src", 1, "Store every object of ais://src in one file?")
	j.expect("bucket rechunk ais://src --chunk-size 1", 1, "Store every object")
	j.expect("bucket rechunk ais://src --chunk-size 1 --yes", 1, "chunk-size")
	j.expect("bucket rechunk ais://src --chunk-size x", 1, "--chunk-size")
	j.expect("bucket rechunk ais://src/a --prefix b --yes", 1, "--prefix")
	j.expect("bucket rechunk ais://none --yes", 1, "does not exist")
	j.expect("start rechunk ais://src --wait", 0, "Done.")

	j.expect("rmo ais://dst --template a-{01..09} --wait", 0, "Started delete-objects[", "Done.")
	j.expect("rmo ais://dst --template a-{01..", 1, `has no "}" after it`)
	j.expect("bucket mv ais://dst ais://new --wait", 0, "Started rename-bucket[", "Done.")
	j.expect("bucket mv ais://dst ais://new", 1, "does not exist")
	if names := strings.Join(strings.Fields(j.expect("ls ais://new --name-only --no-headers --no-footers", 0)), " "); names != "b dir/b x/a-01 x/a-02" {
		t.Errorf("names: %s", names)
	}
	j.expect("evict ais://new --template b", 1, "expecting remote bucket")
	j.expect("start scrub ais://new --wait", 0, "Done.")
	j.expect("start warm-up-metadata ais://new --wait", 0, "Done.")
}
