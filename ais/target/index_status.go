package target

import "github.com/aistore-go/aistore/core"

// itemIndex is the end of the path of the question how mountpaths are listed.
const itemIndex = "index"

// States of the listing index of a mountpath.
const (
	indexReady     = "ready"     // all buckets are listed from it
	indexComparing = "comparing" // some are being compared with the files, and listed by walking
	indexNone      = "none"      // it was given up, and is made again within a minute
)

// indexStatus is what clients see of the listing index of a mountpath.
type indexStatus struct {
	State   string `json:"state"`
	Buckets int    `json:"buckets"`
	Ready   int    `json:"ready"` // listed from the index

	Comparing string `json:"comparing,omitempty"` // a bucket
	Compared  int64  `json:"compared,omitempty"`  // names of it
}

// indexes is what clients see of all mountpaths in use, by path.
func (t *Target) indexes() map[string]indexStatus {
	all := make(map[string]indexStatus)
	for _, state := range t.store.Indexes() {
		shown := indexStatus{State: indexReady, Buckets: state.Buckets, Ready: state.Ready, Comparing: state.Comparing, Compared: state.Compared}
		switch {
		case !state.Usable:
			shown.State = indexNone
		case state.Ready < state.Buckets:
			shown.State = indexComparing
		}
		all[state.Mountpath.Path] = shown
	}
	return all
}

// walked is how many buckets, counted on each mountpath, are listed by walking
// the directories.
func walked(store *core.Store) (n int64) {
	for _, state := range store.Indexes() {
		n += int64(state.Buckets - state.Ready)
	}
	return n
}
