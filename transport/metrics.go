package transport

import "sync/atomic"

// Counts are what an endpoint did since it was made.
type Counts struct {
	Streams     int64 // open now
	Connections int64 // now, of both directions

	OutMessages, OutBytes int64 // accepted by receivers; bytes of bodies
	InMessages, InBytes   int64 // accepted by this node
	Failed                int64 // messages that ended with an error
	Resent                int64 // messages sent again because a connection broke
	Later                 int64 // messages sent again because the receiver was not ready
	Duplicates            int64 // messages that came again and were known
	Broken                int64 // connections that broke
	DialFailed            int64 // attempts to connect that failed

	WireOut, WireIn   int64 // bytes written to and read from connections
	RawOut, PackedOut int64 // bytes of compressed streams, before and after
}

type counters struct {
	streams, connections                      atomic.Int64
	outMessages, outBytes                     atomic.Int64
	inMessages, inBytes                       atomic.Int64
	failed, resent, later, duplicates, broken atomic.Int64
	dialFailed                                atomic.Int64
	wireOut, wireIn, rawOut, packedOut        atomic.Int64
}

// Counts returns what the endpoint did so far.
func (e *Endpoint) Counts() Counts {
	c := &e.count
	return Counts{
		Streams: c.streams.Load(), Connections: c.connections.Load(),
		OutMessages: c.outMessages.Load(), OutBytes: c.outBytes.Load(),
		InMessages: c.inMessages.Load(), InBytes: c.inBytes.Load(),
		Failed: c.failed.Load(), Resent: c.resent.Load(), Later: c.later.Load(), Duplicates: c.duplicates.Load(),
		Broken: c.broken.Load(), DialFailed: c.dialFailed.Load(),
		WireOut: c.wireOut.Load(), WireIn: c.wireIn.Load(), RawOut: c.rawOut.Load(), PackedOut: c.packedOut.Load(),
	}
}
