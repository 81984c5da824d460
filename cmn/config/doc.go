// Package config is the configuration of a cluster and of a node: its
// sections with their defaults and ranges, the two plain files that a node is
// started with, the node's override and its environment.
//
// A node's effective configuration is the cluster configuration (one
// versioned document, replicated), with the node's override on top, and the
// local configuration beside it. Everything here is a value, but for Live,
// which holds what is in force on a running node. This package reads no file
// and no environment by itself.
package config
