package core

import (
	"strings"
	"sync"
	"sync/atomic"
)

// A chunked object of which a chunk is damaged stays where it is: other ranges
// of it may be whole. It is reported as one in quarantine is, once, and counted
// for as long as it is there and damaged.

// maxInPlace bounds how many are remembered; more are reported at each read.
const maxInPlace = 10_000

// inPlace is the chunked generations that were found damaged, by upload id.
type inPlace struct {
	count atomic.Int64 // len(known), to skip the lock in the usual case
	mu    sync.Mutex
	known map[string]bool // whether its content is not what it was, else something is missing
}

// add tells whether a generation was not known yet.
func (p *inPlace) add(upload string, content bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, yes := p.known[upload]; yes {
		return false
	}
	if len(p.known) < maxInPlace {
		if p.known == nil {
			p.known = make(map[string]bool)
		}
		p.known[strings.Clone(upload)] = content
		p.count.Store(int64(len(p.known)))
	}
	return true
}

// remove forgets a generation that is gone, or was read and is whole again; one
// of which nothing is missing any more, content being false, only if that was
// all.
func (p *inPlace) remove(upload string, content bool) {
	if p.count.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known[upload] && !content {
		return
	}
	delete(p.known, upload)
	p.count.Store(int64(len(p.known)))
}

// damagedInPlace reports a chunked object that cannot be read as a whole;
// content tells that its bytes were compared.
func (s *Store) damagedInPlace(o *object, upload string, content bool, finding error) {
	if !s.inPlace.add(upload, content) {
		s.log.Debug("chunked object is damaged and stays in place", "object", o.Cname(), "finding", finding)
		return
	}
	s.log.Error("chunked object is damaged and stays in place", "object", o.Cname(), "finding", finding)
	if report := s.options.OnDamage; report != nil {
		report(Damage{Mountpath: o.mp, Key: o.Key, Err: finding})
	}
}

// DamagedCount is the number of objects that are known to be damaged: those in
// quarantine, and chunked ones that this process has found damaged in their
// place. Errors are those of QuarantineCount.
func (s *Store) DamagedCount() (int64, error) {
	n, err := s.QuarantineCount()
	return n + s.inPlace.count.Load(), err
}
