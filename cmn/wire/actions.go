package wire

// ActMsg is the JSON body of a control request. Any field may be missing.
type ActMsg struct {
	Action string `json:"action"`
	Name   string `json:"name"`
	Value  any    `json:"value"`
}

// Actions on buckets and their objects.
const (
	ActList             = "list"
	ActCreateBucket     = "create-bck"
	ActDestroyBucket    = "destroy-bck"
	ActEvictRemote      = "evict-remote-bck"
	ActMoveBucket       = "move-bck"
	ActCopyBucket       = "copy-bck"
	ActETLBucket        = "etl-bck"
	ActSetBprops        = "set-bprops"
	ActResetBprops      = "reset-bprops"
	ActSummaryBucket    = "summary-bck"
	ActDeleteListRange  = "delete-listrange"
	ActEvictListRange   = "evict-listrange"
	ActPrefetch         = "prefetch-listrange"
	ActCopyListRange    = "copy-listrange"
	ActETLListRange     = "etl-listrange"
	ActArchive          = "archive"
	ActMakeNCopies      = "make-n-copies"
	ActECEncode         = "ec-encode"
	ActRechunk          = "rechunk"
	ActCreateInventory  = "create-inventory"
	ActShowInventory    = "show-inventory"
	ActDestroyInventory = "destroy-inventory"
	ActIndexShard       = "index-shard"
	ActSummaryShard     = "summary-shard"
	ActPromote          = "promote"
	ActRenameObject     = "rename-obj"
	ActBlobDownload     = "blob-download"
	ActCheckLock        = "check-lock"
	ActMultipartUpload  = "mpt-upload"
	ActMultipartDone    = "mpt-complete"
	ActMultipartAbort   = "mpt-abort"
)

// Actions on the cluster and on single nodes.
const (
	ActStart            = "start"
	ActStop             = "stop"
	ActSetConfig        = "set-config"
	ActResetConfig      = "reset-config"
	ActResetStats       = "reset-stats"
	ActRotateLogs       = "rotate-logs"
	ActReloadCreds      = "reload-creds"
	ActClearLcache      = "clear-lcache"
	ActShutdown         = "shutdown"
	ActDecommission     = "decommission"
	ActStartMaintenance = "start-maintenance"
	ActStopMaintenance  = "stop-maintenance"
	ActShutdownNode     = "shutdown-node"
	ActDecommissionNode = "decommission-node"
	ActRemoveUnsafe     = "rm-unsafe"
	ActDeclareLost      = "declare-lost"     // ours
	ActWeighTargets     = "weigh-targets"    // ours
	ActWeighMountpaths  = "weigh-mountpaths" // ours

	ActMountpathAttach  = "attach-mp"
	ActMountpathEnable  = "enable-mp"
	ActMountpathDisable = "disable-mp"
	ActMountpathDetach  = "detach-mp"
	ActMountpathRescan  = "rescan-mp"
	ActMountpathCheck   = "fshc-mp"
	ActMountpathReindex = "reindex-mp" // ours
)
