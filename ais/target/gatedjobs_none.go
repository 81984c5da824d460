//go:build !gatedjobs

package target

import (
	"github.com/aistore-go/aistore/ec"
	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/xact"
	"github.com/aistore-go/aistore/xact/rebalance"
)

// testJobs are none: see gatedjobs.go.
func testJobs() []xact.Registration { return nil }

// heldRebalances holds nothing: see gatedrebalance.go.
func heldRebalances(s rebalance.Streams) rebalance.Streams { return s }

// heldSlices holds nothing: see gatedslices.go.
func heldSlices(h ec.Holders) ec.Holders { return h }

// heldDisks are the disks as they are: see gateddisks.go.
func heldDisks() fs.System { return nil }
