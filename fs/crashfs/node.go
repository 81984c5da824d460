package crashfs

import (
	"bytes"
	"maps"

	"github.com/aistore-go/aistore/fs"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

// node is a file or a directory: what the kernel has of it, what is on stable
// storage, and the changes that lie between.
type node struct {
	ino  uint64
	disk *disk
	kind fs.EntryKind
	mode uint32

	now     state
	durable state
	pending []*change

	reserved int64            // bytes of preallocated blocks
	links    int              // names of a file
	open     int              // open files
	locked   *file            // who holds the flock
	dropped  map[int64][]byte // pages that a failed sync did not write: what is on the disk instead
}

// state is what a node is at some time.
type state struct {
	data         []byte
	xattrs       map[string][]byte
	entries      map[string]*node
	atime, mtime int64
}

type changeKind uint8

const (
	changeWrite changeKind = iota
	changeSize
	changeXattr
	changeTimes
	changeEntry
)

// change is one step since the last sync.
type change struct {
	seq  uint64 // order on the whole system
	kind changeKind

	offset int64  // of a write
	data   []byte // of a write; value of an attribute, nil: removed
	size   int64  // new size of the file, after a write or a truncation
	name   string // of an attribute or an entry
	times  [2]int64
	target *node // of an entry, nil: removed

	at   *node   // the directory of an entry
	peer *change // the other half of a rename
}

func (c *change) isData() bool { return c.kind == changeWrite || c.kind == changeSize }

// apply does a change to a state; data is not shared afterwards.
func (st *state) apply(c *change) {
	switch c.kind {
	case changeWrite:
		st.data = resized(st.data, max(c.offset+int64(len(c.data)), int64(len(st.data))))
		copy(st.data[c.offset:], c.data)
	case changeSize:
		st.data = resized(st.data, c.size)
	case changeXattr:
		if c.data == nil {
			delete(st.xattrs, c.name)
			return
		}
		if st.xattrs == nil {
			st.xattrs = make(map[string][]byte)
		}
		st.xattrs[c.name] = c.data
	case changeTimes:
		st.atime, st.mtime = c.times[0], c.times[1]
	case changeEntry:
		if c.target == nil {
			delete(st.entries, c.name)
			return
		}
		st.entries[c.name] = c.target
	}
}

// resized is data with another length, zeros where it grows.
func resized(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size]
	}
	if size <= int64(cap(data)) {
		grown := data[:size]
		clear(grown[len(data):])
		return grown
	}
	grown := make([]byte, size, size+size/4)
	copy(grown, data)
	return grown
}

// change does a step and remembers it.
func (n *node) change(c *change) {
	n.disk.system.seq++
	c.seq = n.disk.system.seq
	if c.kind == changeEntry {
		c.at = n
	}
	if c.isData() {
		for page := range n.dropped {
			if start := page * pageSize; start < c.offset+int64(len(c.data)) && start+pageSize > c.offset {
				delete(n.dropped, page) // dirty again: the next sync writes all of it
			}
		}
	}
	n.now.apply(c)
	n.pending = append(n.pending, c)
	n.disk.dirty[n] = struct{}{}
}

// sync makes changes durable: all, or data and size only.
func (n *node) sync(all bool) {
	kept := n.pending[:0]
	dataToo := false
	for _, c := range n.pending {
		switch {
		case c.isData():
			dataToo = true
		case !all:
			kept = append(kept, c)
		default:
			n.durable.apply(c)
			n.commitPeer(c)
		}
	}
	if dataToo {
		n.durable.data = bytes.Clone(n.now.data)
	}
	clear(n.pending[len(kept):])
	if n.pending = kept; len(kept) == 0 {
		delete(n.disk.dirty, n)
	}
}

// commitPeer makes the other half of a rename durable where it goes along: the
// new name with the removal of the old one, and both halves of a directory's.
func (n *node) commitPeer(c *change) {
	if c.peer == nil || c.peer.at == n {
		return // in one directory: durable by the same sync
	}
	moved := c.target
	if moved == nil {
		moved = c.peer.target
	}
	if c.target != nil && moved.kind != fs.KindDir {
		return
	}
	c.peer.at.commitName(c.peer)
}

// commitName makes the changes of one name durable up to one of them.
func (n *node) commitName(last *change) {
	var kept []*change
	for _, c := range n.pending {
		if c.name == last.name && c.seq <= last.seq {
			n.durable.apply(c)
			continue
		}
		kept = append(kept, c)
	}
	n.pending = kept
}

// drop is a failed sync: data that was to be written counts as written.
func (n *node) drop() {
	if n.kind != fs.KindFile {
		return // a journal keeps the metadata
	}
	before := n.durable.data
	touched := make(map[int64]struct{})
	for _, c := range n.pending {
		if c.kind != changeWrite {
			continue
		}
		for page := c.offset / pageSize; page*pageSize < c.offset+int64(len(c.data)); page++ {
			touched[page] = struct{}{}
		}
	}
	n.sync(false)
	for page := range touched {
		old := make([]byte, pageSize)
		if page*pageSize < int64(len(before)) {
			copy(old, before[page*pageSize:])
		}
		if n.dropped == nil {
			n.dropped = make(map[int64][]byte)
		}
		if _, already := n.dropped[page]; !already {
			n.dropped[page] = old
		}
	}
}

// blocks is what the node takes of the disk, in bytes.
func (n *node) blocks() int64 {
	if n.kind == fs.KindDir {
		return pageSize
	}
	return (max(int64(len(n.now.data)), n.reserved) + pageSize - 1) / pageSize * pageSize
}

// release frees the blocks of a file that has neither name nor user. Its states
// stay: the removal of its name may not be durable yet.
func (n *node) release() {
	if n.links == 0 && n.open == 0 && n.kind == fs.KindFile {
		n.disk.used -= n.blocks()
	}
}

func (n *node) info() fs.FileInfo {
	info := fs.FileInfo{
		Size: int64(len(n.now.data)), Dev: n.disk.dev, Inode: n.ino, Links: uint64(n.links), Mode: n.mode,
		Atime: n.now.atime, Mtime: n.now.mtime, Kind: n.kind,
	}
	if n.kind == fs.KindDir {
		info.Size, info.Links = pageSize, 2
	}
	return info
}

// settled is a copy of a state, for a node of another system.
func (st *state) settled() state {
	return state{data: bytes.Clone(st.data), xattrs: maps.Clone(st.xattrs), atime: st.atime, mtime: st.mtime}
}
