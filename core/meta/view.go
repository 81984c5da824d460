package meta

import "slices"

// View is all documents of a cluster after the command with log index Index
// was applied. A View is immutable; nodes publish a new one with each change.
// A document is nil before its first version, and on nodes that do not get
// its kind (see Distribution).
type View struct {
	UUID      string   // of the cluster; "" before the node belongs to one
	Lineage   string   // id of the cluster's history; a forced restart makes a new one
	Ancestors []string // lineages before this one, oldest first
	Term      uint64   // of the leader that committed Index
	Index     uint64   // of the last applied command, 0 if none

	Smap       *Smap
	BMD        *BMD
	Config     *Config
	Voters     *Voters
	RMD        *RMD
	Transition *Transition
	Placement  *Placement
	Operations *Operations
	Keys       *Keys
	ETL        *Table
	Tokens     *Table
	S3Keys     *Table
	Jobs       *Table
}

// Document returns the document of a kind, nil if the kind is unknown or the
// view has none yet.
func (v *View) Document(kindName string) Document {
	k, err := lookup(kindName)
	if err != nil {
		return nil
	}
	return k.get(v)
}

// gets tells that a node gets a kind of document.
func (k *kind) gets(role string, voter bool) bool {
	return voter || k.to == ToAll || k.to == ToProxies && role == RoleProxy
}

// For returns the view as a node of a role gets it: without the documents
// that are not for it. Members of the Raft group get everything.
func (v *View) For(role string, voter bool) *View {
	if voter {
		return v
	}
	own := *v
	for _, k := range kinds() {
		if !k.gets(role, voter) {
			k.drop(&own)
		}
	}
	return &own
}

// For returns the command as a node of a role gets it: without the changes of
// documents that are not for it.
func (c *Command) For(role string, voter bool) *Command {
	var hidden []string
	for _, k := range kinds() {
		if !k.gets(role, voter) {
			hidden = append(hidden, k.name)
		}
	}
	isHidden := func(change Change) bool { return slices.Contains(hidden, change.Kind) }
	if !slices.ContainsFunc(c.Changes, isHidden) {
		return c
	}
	return &Command{ID: c.ID, Action: c.Action, Changes: slices.DeleteFunc(slices.Clone(c.Changes), isHidden)}
}
