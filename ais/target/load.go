package target

import (
	"time"

	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/sysinfo"
	"github.com/aistore-go/aistore/xact"
)

const (
	// loadPause is how often the processors and disks are looked at. Disks are measured
	// at intervals of disk.iostat_time_long.
	loadPause = 500 * time.Millisecond
	// usersStay is for how long users are taken to be there after their last request.
	usersStay = 2 * time.Second
)

// load tells the governor of jobs how busy this target is. It implements xact.Load.
type load struct {
	metrics *metrics.Registry
	cpu     *sysinfo.Sampler
	slow    func() float64 // see xact.LoadSample.Slow; nil: not known. Set before the first look
	last    xact.LoadSample
	looked  time.Time // at processors and disks
	users   time.Time // when the last request of a user was seen
}

func newLoad(m *metrics.Registry) *load {
	return &load{metrics: m, cpu: sysinfo.New(), last: xact.LoadSample{Served: m.Served()}}
}

// Now implements xact.Load.
func (l *load) Now() xact.LoadSample {
	now := time.Now()
	s := &l.last
	if now.Sub(l.looked) >= loadPause {
		l.looked = now
		s.CPU, s.Disk = l.cpu.MemCPU().CPUUtil, 0
		for _, d := range l.metrics.Disks() {
			s.Disk = max(s.Disk, d.Util)
		}
		if l.slow != nil {
			s.Slow = l.slow()
		}
	}
	if served := xact.Served(l.metrics.Served()); served != s.Served {
		s.Served, l.users = served, now
	}
	s.Users = now.Sub(l.users) < usersStay
	return *s
}
