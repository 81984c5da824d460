// Package transport carries messages (objects, slices, replicas) between
// targets over few long-lived connections: multiplexed, in bounded memory,
// each with exactly one verdict, sent again by itself when a connection breaks.
//
// An Endpoint is a node's end of all streams. Jobs register a Receiver for a
// named flow, Open a Stream to a peer, Send messages and get the receiver's
// verdict in Message.Done. The protocol is written down in docs/transport.md.
//
// The package knows frames and connections. How a connection is made and
// authenticated it is told (Options.Dial); who the peers are, and what the
// messages mean, it does not know.
package transport
