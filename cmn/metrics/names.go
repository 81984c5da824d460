package metrics

// Roles of a node, also part of every Prometheus name.
const (
	RoleProxy  = "proxy"
	RoleTarget = "target"
)

// Kinds of metrics as what=metrics names them.
const (
	KindCounter   = "counter"   // number of operations, suffix ".n"
	KindSize      = "size"      // cumulative bytes, suffix ".size"
	KindTotal     = "total"     // cumulative nanoseconds, suffix ".ns.total"
	KindLatency   = "latency"   // cumulative nanoseconds, JSON only, suffix ".ns"
	KindBandwidth = "bw"        // cumulative bytes, JSON only, suffix ".bps"
	KindDiskRate  = "compbw"    // bytes per second in the last interval
	KindGauge     = "gauge"     // current value
	KindSpecial   = "special"   // uptime
	KindHistogram = "histogram" // seconds, Prometheus only; 0 in JSON
)

// Op is an operation that clients ask for.
type Op uint8

// Operations.
const (
	Get Op = iota
	Put
	Head
	Delete
	List
	numOps
)

// String is the operation's part in dotted names.
func (op Op) String() string { return [...]string{"get", "put", "head", "del", "lst"}[op] }

// id numbers the counters. The first numLabelled may have a bucket label.
type id uint8

const (
	getCount id = iota
	putCount
	headCount
	delCount
	lstCount
	getSize
	putSize
	getNanos
	putNanos
	headNanos
	errGet
	errPut
	errHead
	errDel
	errLst
	errPutChecksum
	errIOGet
	errIOPut
	errIODel
	underProtected
	numLabelled

	// Without a bucket label.
	errKeepalive id = iota - 1
	errHTTPWrite
	errFSHC
	lstNanos
	keepaliveNanos
	getRedirect
	putRedirect
	cacheHits
	cacheMisses
	cacheEvicted
	cacheExpired
	cacheCollisions
	streamOutCount
	streamOutBytes
	streamInCount
	streamInBytes
	streamErrors
	streamResent
	streamLater
	streamDuplicates
	streamBroken
	streamDialFailed
	streamWireOut
	streamWireIn
	streamRaw
	streamPacked
	streamsOpen
	streamConns

	cleanedFiles
	cleanedBytes
	evictedObjects
	evictedBytes
	scrubbedObjects
	scrubbedBytes
	scrubDamaged
	scrubRepaired
	quarantined
	walked
	copiesPending
	copiesOldest
	underProtectedAge
	slicesPending
	slicesOldest
	slicesMade
	slicesMadeBytes
	rebuiltObjects
	rebuiltBytes
	misplacedNode
	misplacedMountpath
	misplacedAge
	numCounters
)

// labelling tells when a counter carries the bucket on a target. On a proxy
// every labelled counter does.
type labelling uint8

const (
	never    labelling = iota // not a label of this counter
	detailed                  // only with detailed series
	always
)

// counter describes one counter.
type counter struct {
	name       string // dotted
	kind       string
	prom       string // suffix of the Prometheus name, "" when not exported
	help       string
	label      labelling
	xkind      bool // has the label "xkind", empty for user requests
	targetOnly bool
	current    bool // it goes up and down and is never reset
}

// catalog describes all counters by id.
var catalog = [numCounters]counter{
	getCount:  {name: "get.n", kind: KindCounter, prom: "get_count", label: detailed, help: "number of GET requests"},
	putCount:  {name: "put.n", kind: KindCounter, prom: "put_count", label: detailed, xkind: true, help: "number of PUT requests"},
	headCount: {name: "head.n", kind: KindCounter, prom: "head_count", label: detailed, help: "number of HEAD(object) requests"},
	delCount:  {name: "del.n", kind: KindCounter, prom: "del_count", label: detailed, help: "number of object deletions"},
	lstCount:  {name: "lst.n", kind: KindCounter, prom: "lst_count", label: always, help: "number of list-objects pages"},

	getSize: {name: "get.size", kind: KindSize, prom: "get_bytes", label: detailed, targetOnly: true, help: "bytes delivered by GET"},
	putSize: {name: "put.size", kind: KindSize, prom: "put_bytes", label: detailed, xkind: true, targetOnly: true, help: "bytes received by PUT"},

	getNanos:  {name: "get.ns.total", kind: KindTotal, prom: "get_ns_total", label: detailed, help: "cumulative GET time, nanoseconds"},
	putNanos:  {name: "put.ns.total", kind: KindTotal, prom: "put_ns_total", label: detailed, xkind: true, targetOnly: true, help: "cumulative PUT time, nanoseconds"},
	headNanos: {name: "head.ns.total", kind: KindTotal, prom: "head_ns_total", label: detailed, targetOnly: true, help: "cumulative HEAD(object) time, nanoseconds"},

	errGet:  {name: "err.get.n", kind: KindCounter, prom: "err_get_count", label: always, help: "number of failed GET requests"},
	errPut:  {name: "err.put.n", kind: KindCounter, prom: "err_put_count", label: always, xkind: true, help: "number of failed PUT requests"},
	errHead: {name: "err.head.n", kind: KindCounter, prom: "err_head_count", label: always, help: "number of failed HEAD(object) requests"},
	errDel:  {name: "err.del.n", kind: KindCounter, prom: "err_del_count", label: always, help: "number of failed object deletions"},
	errLst:  {name: "err.lst.n", kind: KindCounter, prom: "err_lst_count", label: always, help: "number of failed list-objects requests"},

	errPutChecksum: {name: "err.put.cksum.n", kind: KindCounter, prom: "err_put_cksum_count", label: always, xkind: true, targetOnly: true, help: "number of checksum mismatches in PUT"},
	errIOGet:       {name: "err.io.get.n", kind: KindCounter, prom: "err_io_get_count", label: always, targetOnly: true, help: "number of local I/O errors in GET"},
	errIOPut:       {name: "err.io.put.n", kind: KindCounter, prom: "err_io_put_count", label: always, xkind: true, targetOnly: true, help: "number of local I/O errors in PUT"},
	errIODel:       {name: "err.io.del.n", kind: KindCounter, prom: "err_io_del_count", label: always, targetOnly: true, help: "number of local I/O errors in DELETE"},

	errKeepalive: {name: "err.kalive.n", kind: KindCounter, prom: "err_kalive_count", help: "number of keep-alive failures"},
	errHTTPWrite: {name: "err.http.write.n", kind: KindCounter, prom: "err_http_write_count", help: "number of responses that could not be written"},
	errFSHC:      {name: "err.fshc.n", kind: KindCounter, prom: "err_fshc_count", targetOnly: true, help: "number of health checks of mountpaths"},

	lstNanos:       {name: "lst.ns", kind: KindLatency},
	keepaliveNanos: {name: "kalive.ns", kind: KindLatency},
	getRedirect:    {name: "get.redir.ns", kind: KindLatency, targetOnly: true},
	putRedirect:    {name: "put.redir.ns", kind: KindLatency, targetOnly: true},

	cacheHits:       {name: "lcache.hit.n", kind: KindCounter, prom: "lcache_hit_count", targetOnly: true, help: "number of reads whose object metadata was in memory"},
	cacheMisses:     {name: "lcache.miss.n", kind: KindCounter, prom: "lcache_miss_count", targetOnly: true, help: "number of reads whose object metadata was not in memory"},
	cacheEvicted:    {name: "lcache.evicted.n", kind: KindCounter, prom: "lcache_evicted_count", targetOnly: true, help: "number of object metadata entries that made room for others"},
	cacheExpired:    {name: "lcache.flush.cold.n", kind: KindCounter, prom: "lcache_flush_cold_count", targetOnly: true, help: "number of object metadata entries dropped because of their age"},
	cacheCollisions: {name: "lcache.collision.n", kind: KindCounter, prom: "lcache_collision_count", targetOnly: true, help: "number of object metadata entries replaced by those of another object with the same digest"},

	streamOutCount:   {name: "stream.out.n", kind: KindCounter, prom: "stream_out_count", targetOnly: true, help: "number of messages to other targets that they accepted"},
	streamOutBytes:   {name: "stream.out.size", kind: KindSize, prom: "stream_out_bytes", targetOnly: true, help: "bytes of the bodies of messages to other targets that they accepted"},
	streamInCount:    {name: "stream.in.n", kind: KindCounter, prom: "stream_in_count", targetOnly: true, help: "number of messages from other targets that this one accepted"},
	streamInBytes:    {name: "stream.in.size", kind: KindSize, prom: "stream_in_bytes", targetOnly: true, help: "bytes of the bodies of messages from other targets that this one accepted"},
	streamErrors:     {name: "err.stream.n", kind: KindCounter, prom: "err_stream_count", targetOnly: true, help: "number of messages to other targets that ended with an error"},
	streamResent:     {name: "stream.resent.n", kind: KindCounter, prom: "stream_resent_count", targetOnly: true, help: "number of messages sent again because a connection broke"},
	streamLater:      {name: "stream.later.n", kind: KindCounter, prom: "stream_later_count", targetOnly: true, help: "number of messages sent again because the receiver was not ready for them"},
	streamDuplicates: {name: "stream.dup.n", kind: KindCounter, prom: "stream_dup_count", targetOnly: true, help: "number of messages that came again"},
	streamBroken:     {name: "stream.broken.n", kind: KindCounter, prom: "stream_broken_count", targetOnly: true, help: "number of connections to other targets that broke"},
	streamDialFailed: {name: "stream.dial.fail.n", kind: KindCounter, prom: "stream_dial_fail_count", targetOnly: true, help: "number of failed attempts to connect to another target"},
	streamWireOut:    {name: "stream.wire.out.size", kind: KindSize, prom: "stream_wire_out_bytes", targetOnly: true, help: "bytes written to connections of streams"},
	streamWireIn:     {name: "stream.wire.in.size", kind: KindSize, prom: "stream_wire_in_bytes", targetOnly: true, help: "bytes read from connections of streams"},
	streamRaw:        {name: "stream.raw.size", kind: KindSize, prom: "stream_raw_bytes", targetOnly: true, help: "bytes given to compression"},
	streamPacked:     {name: "stream.packed.size", kind: KindSize, prom: "stream_packed_bytes", targetOnly: true, help: "bytes that compression made of them"},
	streamsOpen:      {name: "stream.open.n", kind: KindCounter, prom: "stream_open_count", current: true, targetOnly: true, help: "number of streams to other targets that are open now"},
	streamConns:      {name: "stream.conn.n", kind: KindCounter, prom: "stream_conn_count", current: true, targetOnly: true, help: "number of connections of streams, of both directions, that are open now"},

	cleanedFiles: {name: "cleanup.store.n", kind: KindCounter, prom: "cleanup_store_count", targetOnly: true, help: "number of files removed because nobody could reach them"},
	cleanedBytes: {name: "cleanup.store.size", kind: KindSize, prom: "cleanup_store_bytes", targetOnly: true, help: "bytes of files removed because nobody could reach them"},

	evictedObjects: {name: "lru.evict.n", kind: KindCounter, prom: "lru_evict_count", targetOnly: true, help: "number of objects that were evicted because space was short"},
	evictedBytes:   {name: "lru.evict.size", kind: KindSize, prom: "lru_evict_bytes", targetOnly: true, help: "bytes of objects that were evicted because space was short"},

	scrubbedObjects: {name: "scrub.n", kind: KindCounter, prom: "scrub_count", targetOnly: true, help: "number of objects that scrub has read and compared"},
	scrubbedBytes:   {name: "scrub.size", kind: KindSize, prom: "scrub_bytes", targetOnly: true, help: "bytes that scrub has read and compared"},
	scrubDamaged:    {name: "scrub.damaged.n", kind: KindCounter, prom: "scrub_damaged_count", targetOnly: true, help: "number of damaged objects, copies, chunks and versions that scrub has found, and of objects below their level of protection"},
	scrubRepaired:   {name: "scrub.repaired.n", kind: KindCounter, prom: "scrub_repaired_count", targetOnly: true, help: "how many of those were mended at once"},

	quarantined: {name: "quarantine.n", kind: KindCounter, prom: "quarantine_count", current: true, targetOnly: true, help: "number of objects that are damaged now: in quarantine, or in chunks that stay where they are"},
	walked:      {name: "list.walk.n", kind: KindCounter, prom: "list_walk_count", current: true, targetOnly: true, help: "number of buckets, counted on each mountpath, that are listed by walking the directories now"},

	copiesPending: {name: "mirror.pending.n", kind: KindCounter, prom: "mirror_pending_count", current: true, targetOnly: true, help: "number of objects whose copies on other mountpaths are not made yet"},
	copiesOldest:  {name: "mirror.pending.age", kind: KindGauge, prom: "mirror_pending_age", current: true, targetOnly: true, help: "seconds for which the oldest of them has waited"},

	underProtected:    {name: "underprotected.n", kind: KindCounter, prom: "underprotected_count", label: always, current: true, targetOnly: true, help: "number of objects that have fewer copies or slices now than their bucket asks for"},
	underProtectedAge: {name: "underprotected.age", kind: KindGauge, prom: "underprotected_age", current: true, targetOnly: true, help: "seconds for which there have been such objects"},

	slicesPending:   {name: "ec.pending.n", kind: KindCounter, prom: "ec_pending_count", current: true, targetOnly: true, help: "number of objects whose slices or replicas on other targets are not made yet"},
	slicesOldest:    {name: "ec.pending.age", kind: KindGauge, prom: "ec_pending_age", current: true, targetOnly: true, help: "seconds for which the oldest of them has waited"},
	slicesMade:      {name: "ec.made.n", kind: KindCounter, prom: "ec_made_count", targetOnly: true, help: "number of slices and replicas that were made on other targets"},
	slicesMadeBytes: {name: "ec.made.size", kind: KindSize, prom: "ec_made_bytes", targetOnly: true, help: "bytes of slices and replicas that were made on other targets"},
	rebuiltObjects:  {name: "ec.rebuilt.n", kind: KindCounter, prom: "ec_rebuilt_count", targetOnly: true, help: "number of objects that were rebuilt from what other targets hold"},
	rebuiltBytes:    {name: "ec.rebuilt.size", kind: KindSize, prom: "ec_rebuilt_bytes", targetOnly: true, help: "bytes of objects that were rebuilt from what other targets hold"},

	misplacedNode:      {name: "misplaced.node.n", kind: KindCounter, prom: "misplaced_node_count", current: true, targetOnly: true, help: "number of objects that lie on this target and belong to another one"},
	misplacedMountpath: {name: "misplaced.mountpath.n", kind: KindCounter, prom: "misplaced_mountpath_count", current: true, targetOnly: true, help: "number of objects that lie on another mountpath of this target than they belong to"},
	misplacedAge:       {name: "misplaced.age", kind: KindGauge, prom: "misplaced_age", current: true, targetOnly: true, help: "seconds for which a rebalance or a resilver has been owed"},
}

// derived are names that repeat the value of a counter under another kind.
var derived = [...]struct {
	name, kind string
	of         id
	targetOnly bool
}{
	{"get.ns", KindLatency, getNanos, false},
	{"put.ns", KindLatency, putNanos, true},
	{"get.bps", KindBandwidth, getSize, true},
	{"put.bps", KindBandwidth, putSize, true},
}

// Names of the other values.
const (
	nameUptime     = "up.ns.time"
	nameStateFlags = "state.flags"
	errPrefix      = "err."
)

// byOp are the counters of each operation; noCounter where there is none.
const noCounter = numCounters

type opCounters struct{ count, size, nanos, failed, failedIO id }

var ops = [numOps]opCounters{
	Get:    {getCount, getSize, getNanos, errGet, errIOGet},
	Put:    {putCount, putSize, putNanos, errPut, errIOPut},
	Head:   {headCount, noCounter, headNanos, errHead, noCounter},
	Delete: {delCount, noCounter, noCounter, errDel, errIODel},
	List:   {lstCount, noCounter, lstNanos, errLst, noCounter},
}
