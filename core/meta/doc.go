// Package meta holds the cluster's metadata: immutable, versioned documents
// (cluster map, bucket metadata, cluster configuration, voters), the view of
// all of them at one point of the log, and the commands that change them.
//
// Everything here is a value: no I/O, no clock, no goroutine, no lock. A
// document is never changed after it was published; a change makes a new one.
// What a document kind means is written down beside it; a new kind is one
// registration in registry.go.
package meta
