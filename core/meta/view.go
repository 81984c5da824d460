package meta

// View is all documents of a cluster after the command with log index Index
// was applied. A View is immutable; nodes publish a new one with each change.
type View struct {
	UUID    string // of the cluster; "" before the node belongs to one
	Lineage string // id of the cluster's history; a forced restart makes a new one
	Term    uint64 // of the leader that committed Index
	Index   uint64 // of the last applied command, 0 if none

	Smap   *Smap
	BMD    *BMD
	Config *Config
	Voters *Voters
}

// Document returns the document of a kind, nil if the kind is unknown or the
// view has none yet.
func (v *View) Document(kind string) Document {
	switch kind {
	case KindSmap:
		if v.Smap != nil {
			return v.Smap
		}
	case KindBMD:
		if v.BMD != nil {
			return v.BMD
		}
	case KindConfig:
		if v.Config != nil {
			return v.Config
		}
	case KindVoters:
		if v.Voters != nil {
			return v.Voters
		}
	}
	return nil
}
