// Package api is the Go client of the REST API: buckets, objects, listings,
// cluster map and node status.
//
// A Client is made once and used from many goroutines. Every call takes a
// context, returns typed errors (see Error), reuses connections, and repeats
// only what may be repeated (see retry.go). Object requests go to any proxy
// and follow its redirect to the target that owns the object; with
// Options.Direct the client keeps the cluster map, computes the owner itself
// and goes straight there. A stale map heals itself: what the supposed owner
// refuses is asked of the proxy, and the map is fetched again.
//
// The package knows the wire vocabulary and the cluster map, and nothing of
// the server.
package api
