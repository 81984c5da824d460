package xact

// Kind is what clients know of a kind of job, and how it gets along with
// others.
type Kind struct {
	Name    string // "copy-bck"
	Display string // "copy-bucket"; "" if it has no other name
	Scope   Scope
	Start   StartRule

	// Idle: an on-demand job. It goes on for a while after its last piece of
	// work, and takes more under the same id.
	Idle bool
	// IC: clients await it by its state in the cluster, see Record.
	IC bool
	// Extended: its snapshots have extended statistics.
	Extended bool
	// Short: it is listed for one minute after its end instead of an hour.
	Short bool
	// Local: targets start it by themselves, and no record is kept of it.
	Local bool
	// Unlisted: names of running jobs leave it out unless it is asked for:
	// upstream's clients refuse names that they do not know.
	Unlisted bool

	// Repairs: it brings objects back to their level of protection; its work comes
	// before that of other jobs, see Governor.
	Repairs bool
	// Conflicts: it does not start while data moves (rebalance, resilver,
	// rename), nor these while it runs.
	Conflicts bool
	// Moves: it moves data, and is what others conflict with.
	Moves bool
	// GivesWay: it is aborted when a rebalance starts.
	GivesWay bool
	// Leaving: targets that are out of service and run take part: what they hold
	// has to leave.
	Leaving bool
	// Resumes: it is started again, under its id, on a target that was
	// restarted, and goes on without one that has left. Any other job is
	// aborted when it loses a target.
	Resumes bool
}

// Scope says what one job of a kind is about.
type Scope int

// The scopes.
const (
	ScopeCluster         Scope = iota // all targets and buckets
	ScopeBucket                       // one bucket
	ScopeClusterOrBucket              // one bucket, several, or all
	ScopeTarget                       // one target
)

// StartRule says what becomes of a client's generic request to start a job.
type StartRule int

// The rules.
const (
	StartNever   StartRule = iota // 501: not by this call
	StartGeneric                  // by this call
	StartByPut                    // 400: it begins by itself
	StartByCall                   // 400: it has a call of its own
)

// Names of kinds that the framework itself speaks of.
const (
	KindRebalance  = "rebalance"
	KindResilver   = "resilver"
	KindLRU        = "lru"
	KindCleanup    = "cleanup-store"
	KindLoadCache  = "load-lom-cache"
	KindMoveBck    = "move-bck"
	KindCopyBck    = "copy-bck"
	KindETLBck     = "etl-bck"
	KindMakeCopies = "make-n-copies"
	KindPutCopies  = "put-copies"
	KindECEncode   = "ec-encode"
	KindSummary    = "summary-bck"
	KindBlob       = "blob-download"
	KindScrub      = "scrub"
)

// Kinds are all kinds that clients know, whether they are built or not:
// questions about any of them are answered.
func Kinds() []Kind {
	return []Kind{
		{Name: KindRebalance, Start: StartGeneric, IC: true, Moves: true, Leaving: true, Resumes: true},
		{Name: KindResilver, Scope: ScopeTarget, Start: StartGeneric, IC: true, Moves: true, Resumes: true, Repairs: true},
		{Name: KindLRU, Display: "lru-eviction", Scope: ScopeClusterOrBucket, Start: StartGeneric, IC: true, Resumes: true},
		{Name: KindCleanup, Display: "cleanup", Scope: ScopeClusterOrBucket, Start: StartGeneric, IC: true, Extended: true, Conflicts: true, Resumes: true},
		{Name: KindLoadCache, Display: "warm-up-metadata", Scope: ScopeBucket, Start: StartGeneric, IC: true, Resumes: true},
		{Name: "election", Display: "elect-primary"},
		{Name: KindCopyBck, Display: "copy-bucket", Scope: ScopeBucket, IC: true, Conflicts: true, GivesWay: true},
		{Name: KindETLBck, Display: "etl-bucket", Scope: ScopeBucket, IC: true, Conflicts: true, GivesWay: true},
		{Name: KindMoveBck, Display: "rename-bucket", Scope: ScopeBucket, IC: true, Conflicts: true, Moves: true, GivesWay: true},
		{Name: KindMakeCopies, Display: "mirror", Scope: ScopeBucket, Start: StartByCall, IC: true, Resumes: true, Repairs: true},
		{Name: KindPutCopies, Scope: ScopeBucket, Start: StartByPut, Idle: true, Local: true, Repairs: true},
		{Name: KindECEncode, Display: "ec-bucket", Scope: ScopeBucket, Start: StartByCall, IC: true, Conflicts: true, GivesWay: true, Resumes: true, Repairs: true},
		{Name: "ec-put", Scope: ScopeBucket, Idle: true, Extended: true, Local: true},
		{Name: "ec-get", Scope: ScopeBucket, Idle: true, Extended: true, Local: true},
		{Name: "ec-resp", Scope: ScopeBucket, Idle: true, Local: true},
		{Name: "copy-listrange", Display: "copy-objects", Scope: ScopeBucket, Idle: true, Conflicts: true, GivesWay: true},
		{Name: "etl-listrange", Display: "etl-objects", Scope: ScopeBucket, Idle: true, Conflicts: true, GivesWay: true},
		{Name: "archive", Scope: ScopeBucket, Idle: true},
		{Name: "delete-listrange", Display: "delete-objects", Scope: ScopeBucket, Start: StartByCall, IC: true},
		{Name: "evict-listrange", Display: "evict-objects", Scope: ScopeBucket, Start: StartByCall, IC: true},
		{Name: "evict-remote-bck", Display: "evict-remote-bucket", Scope: ScopeBucket},
		{Name: "prefetch-listrange", Display: "prefetch-objects", Scope: ScopeBucket, Start: StartGeneric, IC: true},
		{Name: "promote", Display: "promote-files", Scope: ScopeBucket, IC: true},
		{Name: KindBlob, Scope: ScopeBucket, Start: StartGeneric, GivesWay: true},
		{Name: "download", Start: StartByCall, Idle: true, IC: true, GivesWay: true},
		{Name: "dsort", Scope: ScopeBucket, Extended: true, Conflicts: true, GivesWay: true},
		{Name: "etl-inline", IC: true, GivesWay: true},
		{Name: "list", Scope: ScopeBucket, Idle: true, Short: true, Local: true},
		{Name: KindSummary, Display: "summary", Scope: ScopeClusterOrBucket},
		{Name: "rechunk", Scope: ScopeBucket, Start: StartGeneric, IC: true, Conflicts: true, GivesWay: true, Resumes: true},
		{Name: "get-batch", Scope: ScopeClusterOrBucket, Idle: true, Conflicts: true, GivesWay: true, Short: true, Local: true},
		{Name: "summary-shard", Display: "shard-summary", Scope: ScopeBucket},
		{Name: "index-shard", Display: "shard-index", Scope: ScopeBucket, IC: true, Conflicts: true},
		{Name: "create-inventory", Scope: ScopeBucket, IC: true, Conflicts: true, GivesWay: true},
		// Ours; upstream's clients do not know it.
		{Name: KindScrub, Scope: ScopeClusterOrBucket, Start: StartGeneric, IC: true, Unlisted: true, Resumes: true},
	}
}

// FindKind returns the kind with a name or display name.
func FindKind(name string) (Kind, bool) {
	if name == "" {
		return Kind{}, false
	}
	for _, k := range Kinds() {
		if k.Name == name || k.Display == name {
			return k, true
		}
	}
	return Kind{}, false
}
