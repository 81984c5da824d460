package meta

// Document is one kind of cluster metadata: an immutable value with a version
// that only grows.
type Document interface {
	Kind() string
	Ver() int64
	// Encode returns the whole document in its stored and pushed form (JSON).
	Encode() ([]byte, error)
}

// Kinds of documents.
const (
	KindSmap       = "smap"       // cluster map
	KindBMD        = "bmd"        // buckets and their properties
	KindConfig     = "config"     // cluster configuration
	KindVoters     = "voters"     // members of the Raft group
	KindRMD        = "rmd"        // rebalance
	KindTransition = "transition" // change of the map that is on its way
	KindPlacement  = "placement"  // sets of targets since the data was last in its place
	KindOperations = "operations" // membership operations
	KindKeys       = "keys"       // cluster keys, sealed
	KindETL        = "etlmd"      // transformations
	KindTokens     = "tokens"     // revoked tokens
	KindS3Keys     = "s3keys"     // S3 access keys
	KindJobs       = "jobs"       // job records
)

// Command changes one or several documents atomically, under one log index.
// It names the versions that it replaces: if one of them is no longer
// current, the whole command is refused and nothing changes.
type Command struct {
	ID      string   `json:"id"`     // unique; a retried command gets its first answer
	Action  string   `json:"action"` // what was asked for, for logs: "create-bck", "join"
	Changes []Change `json:"changes"`
}

// Change is one document's part of a command: a patch in the kind's own form,
// applied to version From; the result has version To > From. From is 0 if the
// document does not exist yet.
type Change struct {
	Kind  string `json:"kind"`
	From  int64  `json:"from,string"`
	To    int64  `json:"to,string"`
	Patch []byte `json:"patch"`
}

// Result is the remembered outcome of a command.
type Result struct {
	ID      string `json:"id"`
	Index   uint64 `json:"index,string"`
	Refused string `json:"refused,omitempty"` // why it was refused, "" if it was applied
	Stale   bool   `json:"stale,omitempty"`   // it was refused because another command came first
}
