package transport

import (
	"bytes"
	"io"

	"github.com/aistore-go/aistore/memsys"
)

// blockFrame is the part of a body that lies in memory in one frame, in bytes: what fills a
// slab of the receiver.
const blockFrame = memsys.MaxSlab

// block is bytes of a body where they lie.
type block struct {
	data  []byte
	lease Lease // may be nil
}

// release ends the leases of blocks that will not be sent.
func release(blocks []block) {
	for i := range blocks {
		if blocks[i].lease != nil {
			blocks[i].lease.Release()
		}
	}
}

// sendBlocks sends a body whose bytes are not copied on their way to the socket. What
// comes before them has a frame of its own, so that the blocks stand at the same places in the
// slabs of the receiver as in those of the sender.
func (s *Stream) sendBlocks(c *conn, o *outgoing, a *attempt, body BlockSource) error {
	head := body.SourceHead()
	left := o.m.Size - int64(len(head))
	if left < 0 {
		head, left = head[:o.m.Size], 0
	}
	if err := s.sendParts(c, o, a, bytes.NewReader(head), int64(len(head))); err != nil {
		return err
	}
	var gathered []block
	for left > 0 {
		n := s.awaitCredit(a, min(left, blockFrame))
		if n == 0 {
			return nil
		}
		s.spend(a, n)
		f := frame{kind: kindData, stream: s.id, seq: o.seq, try: a.number, arg: uint32(n), length: uint32(n)}
		var err error
		if gathered, err = gather(gathered[:0], body, int(n)); err != nil {
			return shortBody(err, o.m)
		}
		if o.m.SelfVerifying {
			f.flags |= flagUnsummed
		} else {
			for i := range gathered {
				f.sum = crcUpdate(f.sum, gathered[i].data)
			}
		}
		err = c.sendBlocks(f, gathered)
		clear(gathered)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// gather appends blocks of n bytes in all. With an error it has released them.
func gather(blocks []block, body BlockSource, n int) ([]block, error) {
	for n > 0 {
		data, lease, err := body.NextBlock(n)
		if err == nil && len(data) == 0 {
			err = io.ErrNoProgress
		}
		if err != nil {
			release(blocks)
			return nil, err
		}
		blocks = append(blocks, block{data, lease})
		n -= len(data)
	}
	return blocks, nil
}
