package target

import (
	"context"
	"log/slog"
	"time"

	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/sysinfo"
	"github.com/aistore-go/aistore/memsys"
)

const (
	// keptMemory is how many bytes of buffers are kept for the next requests.
	keptMemory = 64 << 20
	// memoryLook is the longest time between two looks at the memory.
	memoryLook = 10 * time.Second
)

// watchMemory makes the monitor that keeps the memory as the configuration
// said when the node started. Under extreme pressure dropCaches is called.
func watchMemory(c *config.Cluster, pool *memsys.Pool, logger *slog.Logger, dropCaches func()) *memsys.Monitor {
	sampler := sysinfo.New()
	limits := memsys.Limits{
		MinFree: int64(c.Memsys.MinFree), PctTotal: c.Memsys.MinPctTotal, PctFree: c.Memsys.MinPctFree, ToGC: int64(c.Memsys.SizeToGC),
	}
	read := func() memsys.Reading {
		available, total := sampler.Memory()
		reading := memsys.Reading{Available: available, Total: total}
		if mem := sampler.MemCPU().Mem; mem != nil {
			reading.SwapUsed = mem.SwapUsed
		}
		return reading
	}
	return memsys.NewMonitor(limits, read, func(p memsys.Pressure) {
		available, total := sampler.Memory()
		level := slog.LevelInfo
		if p >= memsys.PressureHigh {
			level = slog.LevelWarn
		}
		logger.Log(context.Background(), level, "memory pressure", "level", p.String(), "available", available, "total", total)
		if p >= memsys.PressureExtreme {
			dropCaches()
		}
	}, pool)
}
