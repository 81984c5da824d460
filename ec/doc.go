// Package ec keeps objects as data and parity slices, or as replicas, on other
// targets, and rebuilds them from there. It owns the codec and the protocol
// (docs/ec.md); the files of slices are core's. It knows neither HTTP nor jobs: other
// targets are reached through the port Holders.
package ec
