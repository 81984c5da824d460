package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Where a node leaves a sign that it is running, below its configuration
// directory. Operators know the names.
const (
	markersDir  = ".ais.markers"
	restartedMD = "node_restarted"
)

// leaveMarker writes the sign that this node runs. It is removed when the node
// stops in order: one that is there already tells that it did not the last
// time, and the node shows that for a while.
func (n *Node) leaveMarker() {
	path := n.markerPath()
	if path == "" {
		return
	}
	switch _, err := os.Stat(path); {
	case err == nil:
		n.alerts.restarted.Store(true)
		n.logger.Warn("this node was not stopped in order the last time", "marker", path)
	case !errors.Is(err, fs.ErrNotExist):
		n.logger.Warn("how this node was stopped the last time is not known", "marker", path, "err", err)
	}
	text := fmt.Sprintf("%s process %d, running since %s\n", n.name, os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		n.logger.Warn("a crash of this node will not be noticed", "marker", path, "err", err)
	}
}

// removeMarker is called at the end of an orderly stop.
func (n *Node) removeMarker() {
	path := n.markerPath()
	if path == "" || !n.Started() {
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.logger.Warn("the next start will look like one after a crash", "marker", path, "err", err)
	}
}

// markerPath is "" for a node without a configuration directory.
func (n *Node) markerPath() string {
	if n.local.ConfDir == "" {
		return ""
	}
	return filepath.Join(n.local.ConfDir, markersDir, restartedMD)
}
