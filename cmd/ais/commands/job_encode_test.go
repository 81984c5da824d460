package commands

import (
	"testing"

	"github.com/aistore-go/aistore/ais/aistest"
)

// TestStartEncode: what the tool says of erasure coding, and what is refused; copies and
// renames are jobs that "ais start" starts, too.
func TestStartEncode(t *testing.T) {
	j := &jobCluster{t: t, dir: t.TempDir(), c: aistest.New(t, aistest.Options{Targets: 3, Mountpaths: 1})}
	j.expect("create ais://b ais://c", 0)
	j.expect("start ec-encode ais://b --recover", 1, "needs data_slices and parity_slices")
	j.expect("start ec-encode ais://b --data-slices 1 --parity-slices 1 --wait", 0, "Started ec-bucket[", "Done.")
	j.expect("bucket props show ais://b ec", 0, "ec.data_slices", "ec.enabled")
	j.expect("start ec-bucket ais://b --recover --wait", 0, "Started ec-bucket[", "Done.")
	j.expect("start ec-encode ais://b --data-slices 1 --parity-slices 2", 1, "EC is already enabled")
	j.expect("start ec-encode ais://c --data-slices 2 --parity-slices 2", 1, "requires at least 5 targets")
	j.expect("start ec-encode ais://c --data-slices 2", 1, "go together", "see also 'ais start ec-encode --help'")
	j.expect("start ec-encode ais://c", 1, "missing --data-slices")
	j.expect("start ec-encode --data-slices 1 --parity-slices 1", 1, "missing bucket name")
	j.expect("start ec-encode ais://b ais://c --recover", 1, "expected one bucket")
	j.expect("start ec-encode ais://none --data-slices 1 --parity-slices 1", 1, "does not exist")

	j.expect("start copy-bck ais://c ais://d --wait", 0, "Started copy-bucket[", "Done.")
	j.expect("start move-bck ais://d ais://e --wait", 0, "Started rename-bucket[", "Done.")
	j.expect("start copy-bucket ais://c", 1, "see also 'ais start copy-bck --help'")
}
