package transport

import "slices"

// outLedger is what a sender knows of the messages of one stream. It does no
// I/O and takes no lock; whoever holds it does.
//
// A message is added, then carried by a connection, and answered once. When
// its connection breaks, or the verdict is "later", it is carried again.
type outLedger struct {
	next  uint64            // number of the message that is added next
	floor uint64            // lowest number without a final verdict, next if there is none
	open  map[uint64]uint64 // messages without a final verdict: the connection that carries them, 0 if none
	span  uint64            // no message is as far above the floor as this
	held  map[uint64]int    // lengths of the answers above the floor that the receiver still has
	bytes int               // of held
}

// maxHeld bounds the answers that a receiver has to remember of a stream
// while an early message has no verdict, in bytes.
const maxHeld = 16 << 20

func newOutLedger(span uint64) outLedger {
	return outLedger{next: 1, floor: 1, span: span, open: make(map[uint64]uint64), held: make(map[uint64]int)}
}

// room tells that a message may be added.
func (l *outLedger) room() bool { return l.next-l.floor < l.span && l.bytes < maxHeld }

// add numbers a new message.
func (l *outLedger) add() (seq uint64) {
	seq = l.next
	l.next++
	l.open[seq] = 0
	return seq
}

// carry notes that a connection carries a message from now on; false: the
// message has its verdict already.
func (l *outLedger) carry(seq, conn uint64) bool {
	if _, ok := l.open[seq]; !ok {
		return false
	}
	l.open[seq] = conn
	return true
}

// release takes a message from a connection; false: that connection does not
// carry it (any more).
func (l *outLedger) release(seq, conn uint64) bool {
	if l.open[seq] != conn || conn == 0 {
		return false
	}
	l.open[seq] = 0
	return true
}

// broken takes all messages from a connection and returns them in order.
func (l *outLedger) broken(conn uint64) (again []uint64) {
	for seq, by := range l.open {
		if by == conn {
			l.open[seq] = 0
			again = append(again, seq)
		}
	}
	slices.Sort(again)
	return again
}

// answer notes the final verdict of a message, of a number of bytes; false: it
// had one, or there is no such message. moved tells that the floor has risen.
func (l *outLedger) answer(seq uint64, length int) (first, moved bool) {
	if _, ok := l.open[seq]; !ok {
		return false, false
	}
	delete(l.open, seq)
	if length > 0 {
		l.held[seq] = length
		l.bytes += length
	}
	for l.floor < l.next {
		if _, ok := l.open[l.floor]; ok {
			break
		}
		l.bytes -= l.held[l.floor]
		delete(l.held, l.floor)
		l.floor++
		moved = true
	}
	return true, moved
}
