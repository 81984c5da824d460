package target

import (
	"log/slog"
	"testing"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/memsys"
)

// A reserve of a terabyte is bounded by an eighth of the machine, so a machine
// that does nothing is under no pressure; and what is looked at is this one.
func TestWatchMemory(t *testing.T) {
	t.Parallel()
	c := config.DefaultCluster()
	c.Memsys.MinFree = unit.TiB
	monitor := watchMemory(c, memsys.New(0), slog.New(slog.DiscardHandler), func() { t.Error("caches are dropped") })
	if p := monitor.Look(); p > memsys.PressureHigh {
		t.Errorf("pressure %s on this machine", p)
	}
}
