// Package test holds the cluster tests: real aisnode processes on loopback,
// driven through the REST API, the Go client and the CLI, with faults.
package test
