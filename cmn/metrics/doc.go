// Package metrics counts what a node does and shows it in two forms: as
// Prometheus series (ais_proxy_*, ais_target_*) and as the JSON tracker with
// dotted names ("get.n") that clients read with what=node_stats.
//
// A node has one Registry. Handlers report whole operations to it:
//
//	r.Done(metrics.Get, bck, bytes, elapsed) // get.n, get.size, get.ns.total, the histogram
//	r.Failed(metrics.Put, bck, status)       // err.put.n
//	r.FailedIO(metrics.Get, bck)             // err.io.get.n
//
// Reporting takes atomic additions only: no lock, and no allocation but for
// the first operation on a bucket whose name is a label. Labels, names and
// kinds are wire facts.
//
// On a target the successful operations carry an empty bucket label unless
// detailed series are switched on; errors, listings, and everything on a proxy
// always carry the bucket.
package metrics
