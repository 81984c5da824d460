//go:build gatedjobs

package target

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aistore-go/aistore/fs"
	"github.com/aistore-go/aistore/fs/faultfs"
)

// heldDisks holds disks up, in binaries that tests build, see holdFile: "disk:PART N"
// has all calls on files wait that lie in a bucket below a path which ends with PART,
// after the first N in that bucket. What is between PART and the next slash is the
// bucket.
func heldDisks() fs.System {
	file, err := newHoldFile()
	if err != nil {
		return nil
	}
	system := faultfs.New(nil)
	system.Record(false)
	var counts sync.Map // bucket -> *atomic.Int64: calls while there is such a rule
	system.Before(func(call faultfs.Call) {
		kind, after := file.rule()
		part, held := strings.CutPrefix(kind, "disk:")
		if !held {
			return
		}
		_, below, inside := strings.Cut(call.Path, part)
		bucket, rest, _ := strings.Cut(below, "/")
		if !inside || rest == "" {
			return
		}
		count, _ := counts.LoadOrStore(bucket, new(atomic.Int64))
		if count.(*atomic.Int64).Add(1) > after {
			_ = file.wait(context.Background()) // which does not end
		}
	})
	return system
}
