// Package playground runs a cluster of real processes on this machine, in one
// folder, on loopback: for the first steps of a user (deploy/local), for
// cluster tests and for benchmarks. It knows the programs by their command
// lines only.
package playground
