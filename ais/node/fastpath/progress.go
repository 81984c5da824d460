package fastpath

import (
	"errors"
	"os"
	"time"

	"github.com/aistore-go/aistore/cmn/apierr"
)

// Progress is what a request's body must make: Bytes in every Within. A body
// that makes less, or is silent for that long, has stalled and its request
// ends with 408. The time that its reader spends elsewhere does not count.
type Progress struct {
	Bytes  int64
	Within time.Duration
}

// errStalled is the 408.
var errStalled = apierr.New(408, "", "the body of the request has stalled")

// Pace watches the progress of one body. The zero Pace watches nothing; Start
// begins. It sets the read deadline of the connection, about twice in every
// Within and not for every read.
type Pace struct {
	limit    Progress
	deadline func(time.Time) error
	armed    time.Time     // the deadline that is set, zero: none
	began    time.Time     // of the read under way
	waited   time.Duration // in reads, since the bytes are counted
	bytes    int64
}

// Start begins to watch; deadline sets the read deadline of the connection.
func (p *Pace) Start(limit Progress, deadline func(time.Time) error) {
	*p = Pace{limit: limit, deadline: deadline}
}

// Before is called before a read that may wait.
func (p *Pace) Before() error {
	if p.deadline == nil {
		return nil
	}
	half := p.limit.Within / 2
	if p.waited >= half {
		if p.bytes < p.limit.Bytes/2 {
			return errStalled
		}
		p.waited, p.bytes = 0, 0
	}
	p.began = time.Now()
	if left := p.limit.Within - p.waited; p.armed.Sub(p.began) < left-half/2 {
		p.armed = p.began.Add(left)
		return p.deadline(p.armed)
	}
	return nil
}

// After is called with what the read returned; it returns the error to go on
// with.
func (p *Pace) After(n int, err error) error {
	if p.deadline == nil {
		return err
	}
	p.waited += time.Since(p.began)
	p.bytes += int64(n)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return errStalled
	}
	return err
}

// Stop ends the watching and takes the deadline away.
func (p *Pace) Stop() {
	if p.deadline == nil {
		return
	}
	if !p.armed.IsZero() {
		_ = p.deadline(time.Time{}) // fails if the connection is closed: then nothing waits for it
	}
	*p = Pace{}
}
