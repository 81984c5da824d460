// Package target is the node that owns disks: it stores the objects whose
// names the cluster map gives to it and serves them.
//
// Handlers parse, authorize, call core.Store and reply. What it must not
// know: where on a disk an object lies, in which order a write is made
// durable, how metadata is agreed on.
package target
