package target

import (
	"sync/atomic"
	"time"

	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/sysinfo"
	"github.com/aistore-go/aistore/xact"
)

// loadPause is how often the processors and the users' requests are looked at.
const loadPause = 500 * time.Millisecond

// load tells jobs how busy this target is, see xact.Load. Disks are measured at
// intervals of disk.iostat_time_long.
type load struct {
	metrics *metrics.Registry
	cpu     *sysinfo.Sampler
	slow    func() float64 // see xact.LoadSample.Slow; nil: not known. Set before the first look
	served  int64          // requests of users at the last look
	quiet   int            // looks since then without any
	now     atomic.Pointer[xact.LoadSample]
}

// quietLooks is for how many looks users are taken to be there after their
// last request.
const quietLooks = 4

func newLoad(m *metrics.Registry) *load {
	l := &load{metrics: m, cpu: sysinfo.New(), quiet: quietLooks, served: m.Served()}
	l.now.Store(&xact.LoadSample{})
	return l
}

// Now implements xact.Load.
func (l *load) Now() xact.LoadSample { return *l.now.Load() }

// look measures.
func (l *load) look() {
	s := xact.LoadSample{CPU: l.cpu.MemCPU().CPUUtil}
	for _, d := range l.metrics.Disks() {
		s.Disk = max(s.Disk, d.Util)
	}
	if l.slow != nil {
		s.Slow = l.slow()
	}
	served := l.metrics.Served()
	if served != l.served {
		l.served, l.quiet = served, 0
	} else if l.quiet < quietLooks {
		l.quiet++
	}
	s.Users = l.quiet < quietLooks
	l.now.Store(&s)
}
