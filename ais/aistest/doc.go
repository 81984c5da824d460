// Package aistest runs a whole cluster inside the process of a test: real
// gateways and targets with real listeners on free ports of the loopback
// interface and real files in a temporary folder. Only the agreement on
// metadata is simple: all nodes share one Metadata, which applies a change to
// every node before it returns, as the real one promises, and which tests can
// break (nodes that are down, no majority, a node that lags).
package aistest
