// Package fs owns the disks of a target: mountpaths and their identity, the
// layout of names below them, the ordered walk, capacity, trash, and the
// shared flush rounds that make writes durable. Every system call on a file
// goes through System, so that tests can make any of them fail (faultfs).
//
// What lies where, byte for byte, is docs/on_disk_layout.md. The package knows
// paths and files; it does not know what an object's record means, who owns a
// name among targets, or that there is a network.
package fs
