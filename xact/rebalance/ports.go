package rebalance

import (
	"context"
	"io"
)

// Receiver answers a message of another target. The context ends with the
// registration. The body need not be read to its end; an error is the sender's.
type Receiver func(ctx context.Context, from string, body io.Reader) (answer []byte, err error)

// Streams carries messages between targets. A message comes once, or the
// receiver's answer to it is repeated; those of a flow without a receiver are
// tried again for a while.
type Streams interface {
	// Receive registers the receiver of a flow; stop returns when none of its
	// handlers runs any more.
	Receive(flow string, r Receiver) (stop func(), err error)
	// Open opens a stream to a flow of another target.
	Open(nodeID, flow string) Stream
}

// Stream carries messages to one flow of one target, in bounded number: Send
// waits when there are too many without an answer.
type Stream interface {
	// Send takes a message of a size in bytes; open returns it, and is called
	// again when it has to be sent again. done is called once, if Send has
	// returned nil, with the receiver's answer or an error.
	Send(ctx context.Context, size int64, open func() (io.ReadCloser, error), done func(answer []byte, err error)) error
	// Close ends the stream; messages without an answer get an error.
	Close()
}
