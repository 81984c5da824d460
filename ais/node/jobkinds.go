package node

// jobKind is one kind of job that clients know.
type jobKind struct {
	name    string
	display string // "" if it has no other name
	bucket  bool   // it is always a job of one bucket
	start   startRule
}

// startRule says what becomes of a request to start a job of a kind.
type startRule int

const (
	notStarted       startRule = iota // 501: not by this call
	startable                         // by this call
	startedByPut                      // 400: it begins by itself
	startedByItsCall                  // 400: it has a call of its own
)

// jobKinds are all kinds that clients know, whether they are built or not:
// questions about any of them are answered.
var jobKinds = []jobKind{
	{name: "rebalance", start: startable},
	{name: "resilver", start: startable},
	{name: "lru", display: "lru-eviction", start: startable},
	{name: "cleanup-store", display: "cleanup", start: startable},
	{name: "load-lom-cache", display: "warm-up-metadata", bucket: true, start: startable},
	{name: "election", display: "elect-primary"},
	{name: "copy-bck", display: "copy-bucket", bucket: true},
	{name: "etl-bck", display: "etl-bucket", bucket: true},
	{name: "move-bck", display: "rename-bucket", bucket: true},
	{name: "make-n-copies", display: "mirror", bucket: true, start: startedByItsCall},
	{name: "put-copies", bucket: true, start: startedByPut},
	{name: "ec-encode", display: "ec-bucket", bucket: true, start: startedByItsCall},
	{name: "ec-put", bucket: true},
	{name: "ec-get", bucket: true},
	{name: "ec-resp", bucket: true},
	{name: "copy-listrange", display: "copy-objects", bucket: true},
	{name: "etl-listrange", display: "etl-objects", bucket: true},
	{name: "archive", bucket: true},
	{name: "delete-listrange", display: "delete-objects", bucket: true, start: startedByItsCall},
	{name: "evict-listrange", display: "evict-objects", bucket: true, start: startedByItsCall},
	{name: "evict-remote-bck", display: "evict-remote-bucket", bucket: true},
	{name: "prefetch-listrange", display: "prefetch-objects", bucket: true, start: startable},
	{name: "promote", display: "promote-files", bucket: true},
	{name: "blob-download", bucket: true, start: startable},
	{name: "download", start: startedByItsCall},
	{name: "dsort", bucket: true},
	{name: "etl-inline"},
	{name: "list", bucket: true},
	{name: "summary-bck", display: "summary"},
	{name: "rechunk", bucket: true, start: startable},
	{name: "get-batch"},
	{name: "summary-shard", display: "shard-summary", bucket: true},
	{name: "index-shard", display: "shard-index", bucket: true},
	{name: "create-inventory", bucket: true},
}

// findJobKind returns the kind with a name or display name, nil if there is
// none.
func findJobKind(name string) *jobKind {
	for i := range jobKinds {
		if k := &jobKinds[i]; name != "" && (k.name == name || k.display == name) {
			return k
		}
	}
	return nil
}
