package work

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aistore-go/aistore/cmd/aisloader/load"
	"github.com/aistore-go/aistore/cmd/aisloader/stats"
	"github.com/aistore-go/aistore/cmn/hrw"
	"github.com/aistore-go/aistore/cmn/wire"
)

// write PUTs a new object. It returns false when enough was written.
func (l *Load) write(ctx context.Context, w *load.Worker, s *state) bool {
	p := l.p
	if l.wroteEnough() {
		return false
	}
	if p.MaxPuts > 0 && l.limits.puts.Add(1) > uint64(p.MaxPuts) {
		if !l.limits.reached.Swap(true) {
			fmt.Fprintf(l.message, "Reached -maxputs=%d\n", p.MaxPuts)
		}
		return false
	}
	// The size follows from the number of the name, not of the operation: which
	// worker takes which of both is a race.
	counter := l.limits.counter.Add(1) - 1
	choice := l.choice(counter)
	s.name = l.maker.Append(s.name[:0], counter)
	size := l.size(hrw.Mix(choice + 4))
	if percent(hrw.Mix(choice+5), p.PctMultipart) {
		if l.upload(ctx, w, s, s.name, size, choice) {
			l.remember(s, counter)
		}
		return true
	}
	if l.put(ctx, w, s, w.Start, s.name, size, choice) {
		l.remember(s, counter)
	}
	return true
}

// remember makes an object of this run one that may be read.
func (l *Load) remember(s *state, counter uint64) {
	if l.p.Reads() && l.order == nil {
		s.own = append(s.own, counter)
	}
}

func (l *Load) wroteEnough() bool {
	return l.p.TotalPutSize > 0 && l.limits.putBytes.Load() >= int64(l.p.TotalPutSize)
}

// size is uniform between the least and the greatest.
func (l *Load) size(choice uint64) int64 {
	least, greatest := uint64(l.p.MinSize), uint64(l.p.MaxSize)
	return int64(least + choice%(greatest-least+1))
}

// update PUTs an object that was just read: the same name and size.
func (l *Load) update(ctx context.Context, w *load.Worker, s *state, name []byte, size int64, choice uint64) bool {
	if l.wroteEnough() {
		return false
	}
	l.put(ctx, w, s, time.Now(), name, size, choice)
	return true
}

// put sends one plain PUT.
func (l *Load) put(ctx context.Context, w *load.Worker, s *state, began time.Time, name []byte, size int64, choice uint64) bool {
	w.Begin(stats.Put)
	l.limits.putBytes.Add(size)
	r := &w.Request
	l.request(w, r, s, "PUT", name, wire.QuerySkipVC+"=true")
	err := s.payload.put(r, size, hrw.Mix(choice+6))
	if err == nil {
		_, err = l.do(ctx, w, r)
	}
	l.count(w, began, stats.Put, size, err)
	if err != nil {
		l.limits.putBytes.Add(-size)
	}
	return err == nil
}

// appendRange adds the header for length bytes from offset.
func appendRange(to []byte, offset, length int64) []byte {
	to = append(to, wire.HeaderRange+": bytes="...)
	to = append(strconv.AppendInt(to, offset, 10), '-')
	return append(strconv.AppendInt(to, offset+length-1, 10), "\r\n"...)
}
