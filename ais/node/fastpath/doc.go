// Package fastpath is the HTTP/1.1 loop of a node's public listener.
//
// For every connection one goroutine reads into a pooled buffer and parses
// requests of a closed grammar without an allocation: origin-form target,
// one Host, one decimal Content-Length or none, a listed set of headers. A
// role answers such requests itself, see Fast: with one write, or with one
// write and sendfile. Any other well-formed request is parsed by
// http.ReadRequest from the same buffer and answered by the node's ordinary
// http.Handler; then the loop goes on. What is not well-formed, or not
// HTTP/1.1, or asks for more than one answer (Expect, Upgrade, CONNECT),
// leaves for good: the connection, with the bytes that were read of it, is
// handed to a net/http server.
//
// How a request may leave: a Fast handler that does not want a request has
// consumed nothing of it, and a request that is handed over has been answered
// by nobody.
//
// While a connection is idle it holds a goroutine and no buffer. Timeouts of
// the loop are looked after by one goroutine for all connections, so that a
// request sets no timer.
package fastpath
