// Package rpc is the client side of calls between the nodes of a cluster:
// plain HTTP requests over pooled connections, each with a deadline and a
// bound on its answer, and queues that carry Raft messages.
//
// Traffic of different kinds does not share connections: a large answer or a
// slow disk at the other end must not delay a keepalive.
//
// It does not know who the nodes are or what is said: callers pass URLs and
// bytes.
package rpc
