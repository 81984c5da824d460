package wire

// DeclareLostMsg is the value of ActDeclareLost. Exactly one of NodeID and NodeIDs is
// given.
type DeclareLostMsg struct {
	NodeID  string   `json:"sid,omitempty"`
	NodeIDs []string `json:"sids,omitempty"`
	// Force must be set: what only these targets hold is given up.
	Force bool `json:"force"`
}
