// Package core is the object engine: the one place where the order of steps
// in a read, a write, a delete and a listing is decided. Handlers and jobs go
// through Store and never touch an object's files themselves.
//
// An object is one plain file and one small record (size, stamp, version,
// checksum, times, custom keys, bucket id) in an extended attribute of that
// file; docs/on_disk_layout.md has the bytes. A write goes: work file, record,
// flush, rename under the exclusive name lock, flush, answer. A read goes:
// open, record, stat; no lock is held while the content is sent, because an
// open file stays whole whatever happens to its name.
//
// The package knows no HTTP: it takes contexts, readers and values, and
// returns errors of package apierr. It imports fs (mountpaths and every file
// system call), core/meta (bucket properties) and cmn; what it needs from
// higher floors (mirror copies, erasure-coded slices, remote backends, other
// targets, placement) it declares as the ports in ports.go.
package core
