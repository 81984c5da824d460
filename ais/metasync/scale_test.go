package metasync

import (
	"testing"
	"time"
)

func TestFiftyNodes(t *testing.T) {
	s := newTestSim(t, 24, 10, 40)
	s.startAll()
	s.settleVoters(5)
	start := s.now
	s.mustCreate(s.primary(), "wide", 3*time.Second)
	if took := s.now.Sub(start); took > time.Second {
		t.Errorf("a change took %s", took)
	}
	old := s.primary()
	old.kill()
	s.until("failover", 10*time.Second, func() bool { return s.primary() != nil && s.converged() })
	s.checkEnd()
}
