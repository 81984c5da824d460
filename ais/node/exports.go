package node

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aistore-go/aistore/core/meta"
)

// Files in the configuration folder that show operators and their tools the
// metadata in force on this node, in JSON. They are exports: what counts is in
// the state file, nothing is ever read back from them, and a crash may leave
// an older content.
const (
	ExportConfig = ".ais.conf"
	ExportSmap   = ".ais.smap"
	ExportBMD    = ".ais.bmd"
)

// exportPause is the least time between two writes, so that a burst of
// changes costs one.
const exportPause = 200 * time.Millisecond

// exports writes the newest view to files, one writer at a time.
type exports struct {
	mu      sync.Mutex
	newest  *meta.View
	writing bool
	ended   uint64     // index of the view with which the node was decommissioned, 0: it was not
	files   sync.Mutex // held while they are written
}

// Applied is told of every view before it is in effect. It does not block.
func (n *Node) Applied(view *meta.View) {
	n.exportView(view)
	n.keepAddresses(view)
}

// exportView has the files written soon.
func (n *Node) exportView(view *meta.View) {
	e := &n.exports
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended > 0 && (view.Index <= e.ended || view.Smap.Node(n.id) == nil) {
		return // it has not been added again
	}
	e.newest, e.ended = view, 0
	if !e.writing && n.local.ConfDir != "" {
		e.writing = true
		n.background.run(n.writeExports)
	}
}

// endExports makes sure that no file is written before the node is a member
// of a cluster again.
func (n *Node) endExports() {
	e := &n.exports
	e.mu.Lock()
	e.newest, e.ended = nil, max(1, n.View().Index)
	e.mu.Unlock()
	e.files.Lock() // until the one that is being written is there
	defer e.files.Unlock()
}

// writeExports writes until there is nothing new.
func (n *Node) writeExports(ctx context.Context) {
	written := &meta.View{}
	for {
		e := &n.exports
		e.mu.Lock()
		view := e.newest
		if view == nil || view == written {
			e.writing = false
			e.mu.Unlock()
			return
		}
		e.files.Lock()
		e.mu.Unlock()
		n.export(written, view)
		e.files.Unlock()
		written = view
		select {
		case <-ctx.Done(): // look once more, then end
		case <-time.After(exportPause):
		}
	}
}

// export writes the documents that differ. What cannot be written is told in
// the log, and tried again with the next change.
func (n *Node) export(before, after *meta.View) {
	var files []exportFile
	if after.Config != nil && after.Config != before.Config {
		files = append(files, exportFile{ExportConfig, after.Config})
	}
	if after.Smap != nil && after.Smap != before.Smap {
		files = append(files, exportFile{ExportSmap, after.Smap})
	}
	if after.BMD != nil && after.BMD != before.BMD {
		files = append(files, exportFile{ExportBMD, after.BMD})
	}
	for _, file := range files {
		if err := file.write(n.local.ConfDir); err != nil {
			n.logger.Error("metadata not exported", "file", file.name, "version", file.doc.Ver(), "err", err)
		}
	}
}

type exportFile struct {
	name string
	doc  meta.Document
}

// write replaces the file, so that readers see the old or the new content.
// Only the owner may read it: the configuration may hold credentials.
func (f *exportFile) write(dir string) error {
	data, err := f.doc.Encode()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, f.name)
	if err := os.WriteFile(path+".new", append(data[:len(data):len(data)], '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
