package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
)

// readers is how many clients read long objects at once.
const readers = 1000

var huge = workingSet{"h", 100 << 20, 4, 1}

var memory = &section{
	title: "Memory of the target",
	notes: func(b *bench) []string {
		return []string{
			"Anonymous memory (RssAnon) of the target's process; data in " + orDisk(memoryFolder()) + " (that is not the process's), plain HTTP, durability `none`.",
			"At rest: no request for seconds, after the objects have been written by 16 clients.",
		}
	},
	head: []string{"state", "anonymous memory", "bound"},
}

func memoryRows() []row {
	return []row{
		{id: "memory-objects", section: memory, title: "objects at rest", measure: measureObjects},
		{id: "memory-readers", section: memory, title: "concurrent readers of long objects", measure: measureReaders},
	}
}

func measureObjects(ctx context.Context, b *bench) ([]string, error) {
	p, err := b.objects(ctx)
	if err != nil {
		return nil, err
	}
	first := rssObjects
	if b.quick {
		first /= 10
	}
	return []string{
		fmt.Sprintf("%d objects, then %d (stored in %v)", first, p.many+p.few, p.took.Round(time.Second)),
		fmt.Sprintf("%s, then %s: %s more", mebibytes(p.anonymousFew), mebibytes(p.anonymousMany), mebibytes(p.anonymousMany-p.anonymousFew)), "64 MiB more",
	}, nil
}

func measureReaders(ctx context.Context, b *bench) ([]string, error) {
	ours, err := b.ours(ctx)
	if err != nil {
		return nil, err
	}
	if err := ours.fill(ctx, []workingSet{huge}); err != nil {
		return nil, err
	}
	clients := readers
	if b.quick {
		clients /= 10
	}
	pid := ours.Nodes()[1].PID()
	before, err := anonymous(pid)
	if err != nil {
		return nil, err
	}
	watch, stop := context.WithCancel(ctx)
	peak := make(chan int64, 1)
	go func() { peak <- watchPeak(watch, pid) }()
	result, err := load.Run(ctx, &load.Plan{
		Workers: clients, Operations: int64(clients), Options: load.Options{Timeout: 10 * time.Minute},
		Task: huge.reads(address(ours.target()), "/v1/objects/"+bucket),
	})
	stop()
	most := <-peak
	if err == nil && result.Errors > 0 {
		err = result.FirstError
	}
	if err != nil {
		return nil, err
	}
	return []string{
		fmt.Sprintf("%d concurrent readers of 100 MiB (all read to the end in %v)", clients, result.Elapsed.Round(time.Second)),
		fmt.Sprintf("at most %s (before: %s)", mebibytes(most), mebibytes(before)), "512 MiB",
	}, nil
}

// watchPeak looks at a process until its context ends.
func watchPeak(ctx context.Context, pid int) (peak int64) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if now, err := anonymous(pid); err == nil {
			peak = max(peak, now)
		}
		select {
		case <-ctx.Done():
			return peak
		case <-ticker.C:
		}
	}
}
