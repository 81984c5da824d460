// Package startup is the part of starting and stopping a node that does not
// depend on its role: configuration files, environment and overrides, the
// log, the node's id, the addresses where a cluster may be found, and the
// order in which a node stops. The roles wire their own parts in between.
package startup
