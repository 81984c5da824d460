// Package load generates load over HTTP/1.1 with as little work of its own as
// possible, so that two cores are enough to drive a server to its limit. It
// speaks to anything that serves GET and takes PUT: gateways (whose redirects
// it follows), targets, and other servers that are measured beside them.
//
// A Plan says how many workers call which Task, and when they stop. A task
// executes one operation on its Worker: it fills the worker's Request, whose
// buffers are reused, has it done, and counts it. An operation allocates
// nothing.
package load
