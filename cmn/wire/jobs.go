package wire

// JobKind is what clients have to know of a kind of job: how to await it.
type JobKind struct {
	Name    string
	Display string // "" if it has no other name
	Bucket  bool   // it is always a job of one bucket
	Idle    bool   // it goes on for a while without work: done is idle
	IC      bool   // its state in the cluster (what=status) tells its end
}

// JobKinds are the kinds of jobs. The server's table (package xact) says the same and
// more.
func JobKinds() []JobKind {
	return []JobKind{
		{Name: "rebalance", IC: true},
		{Name: "resilver", IC: true},
		{Name: "lru", Display: "lru-eviction", IC: true},
		{Name: "cleanup-store", Display: "cleanup", IC: true},
		{Name: "load-lom-cache", Display: "warm-up-metadata", Bucket: true, IC: true},
		{Name: "election", Display: "elect-primary"},
		{Name: ActCopyBucket, Display: "copy-bucket", Bucket: true, IC: true},
		{Name: ActETLBucket, Display: "etl-bucket", Bucket: true, IC: true},
		{Name: ActMoveBucket, Display: "rename-bucket", Bucket: true, IC: true},
		{Name: ActMakeNCopies, Display: "mirror", Bucket: true, IC: true},
		{Name: "put-copies", Bucket: true, Idle: true},
		{Name: ActECEncode, Display: "ec-bucket", Bucket: true, IC: true},
		{Name: "ec-put", Bucket: true, Idle: true},
		{Name: "ec-get", Bucket: true, Idle: true},
		{Name: "ec-resp", Bucket: true, Idle: true},
		{Name: ActCopyListRange, Display: "copy-objects", Bucket: true, Idle: true},
		{Name: ActETLListRange, Display: "etl-objects", Bucket: true, Idle: true},
		{Name: ActArchive, Bucket: true, Idle: true},
		{Name: ActDeleteListRange, Display: "delete-objects", Bucket: true, IC: true},
		{Name: ActEvictListRange, Display: "evict-objects", Bucket: true, IC: true},
		{Name: ActEvictRemote, Display: "evict-remote-bucket", Bucket: true},
		{Name: ActPrefetch, Display: "prefetch-objects", Bucket: true, IC: true},
		{Name: ActPromote, Display: "promote-files", Bucket: true, IC: true},
		{Name: ActBlobDownload, Bucket: true},
		{Name: "download", Idle: true, IC: true},
		{Name: "dsort", Bucket: true},
		{Name: "etl-inline", IC: true},
		{Name: ActList, Bucket: true, Idle: true},
		{Name: ActSummaryBucket, Display: "summary"},
		{Name: ActRechunk, Bucket: true, IC: true},
		{Name: "get-batch", Idle: true},
		{Name: ActSummaryShard, Display: "shard-summary", Bucket: true},
		{Name: ActIndexShard, Display: "shard-index", Bucket: true, IC: true},
		{Name: ActCreateInventory, Bucket: true, IC: true},
		{Name: "scrub", IC: true},
	}
}

// FindJobKind returns the kind with a name or display name.
func FindJobKind(name string) (JobKind, bool) {
	for _, k := range JobKinds() {
		if name != "" && (k.Name == name || k.Display == name) {
			return k, true
		}
	}
	return JobKind{}, false
}

// JobArgs is the value of the actions "start" and "stop", and the body of
// questions about jobs.
type JobArgs struct {
	ID      string `json:"ID"`
	Kind    string `json:"Kind"`     // or display name
	NodeID  string `json:"DaemonID"` // resilver: the target
	Bck     *Bck   `json:"Bck"`
	Buckets []Bck  `json:"Buckets"`
	Timeout int64  `json:"Timeout"` // ns, for the client
	Flags   uint32 `json:"flags,omitempty"`
	Force   bool   `json:"Force"`
	// OnlyRunning is for the client; questions say it with show_active.
	OnlyRunning bool `json:"OnlyRunning"`
}

// Bits of JobArgs.Flags.
const (
	JobZeroSize      uint32 = 1 << iota // cleanup removes objects of no bytes
	JobLatest                           // latest version
	JobSync                             // synchronize
	JobKeepMisplaced                    // cleanup keeps misplaced objects
	JobCleanup                          // rebalance only removes what is misplaced
	JobDryRun                           // cleanup removes nothing, and says what it would (ours)
)

// CleanupReport is the extended statistics (Snap.Ext) of a cleanup that was a dry run.
type CleanupReport struct {
	DryRun   bool             `json:"dry_run"`
	Removals []CleanupRemoval `json:"removals"`
	Examples []CleanupExample `json:"examples"` // some of the files
	Kept     map[string]int64 `json:"kept"`     // what stays, and why, by the names of the control message
}

// CleanupRemoval is what goes for one reason.
type CleanupRemoval struct {
	Category string `json:"category"`
	Why      string `json:"why"` // for people
	Files    int64  `json:"files,string"`
	Bytes    int64  `json:"bytes,string"`
}

// CleanupExample is a file that would go.
type CleanupExample struct {
	Category string `json:"category"`
	Path     string `json:"path"`
	Size     int64  `json:"size,string"` // bytes
}

// JobQuery is the body of questions about jobs. What is empty selects all.
type JobQuery struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Active *bool  `json:"show_active"`
	Bck    Bck    `json:"bck"`
}

// JobStatus is the state of a job in the cluster.
type JobStatus struct {
	Kind    string `json:"kind"`
	UUID    string `json:"uuid"`
	Error   string `json:"err"`
	EndTime int64  `json:"end_time"` // ns since the epoch, 0: it runs
	Aborted bool   `json:"aborted"`
}

// JobSnaps are snapshots of jobs by target.
type JobSnaps map[string][]*Snap
