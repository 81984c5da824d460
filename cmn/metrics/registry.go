package metrics

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aistore-go/aistore/cmn/wire"
)

// Registry holds all metrics of one node. Its methods may be called from any
// goroutine.
type Registry struct {
	role    string
	nodeID  string // as a label: dots replaced
	target  bool
	started time.Time

	plain   [numCounters]atomic.Int64 // without a bucket
	buckets bucketTable
	latency [numOps]histogram
	base    [numCounters]atomic.Int64 // what reset-stats takes off in JSON

	detailed      atomic.Bool
	countNotFound atomic.Bool
	goRuntime     atomic.Bool
	flags         atomic.Uint64
	flagsReset    atomic.Bool // show 0 in JSON until the next update
	primary       atomic.Pointer[string]
	disks         atomic.Pointer[diskValues]
	lastLine      atomic.Pointer[string]
	cache         atomic.Pointer[func() CacheCounts]
	streams       atomic.Pointer[func() StreamCounts]

	prom        *prometheus.Registry
	descriptors descriptors
	handler     http.Handler
}

// New returns the registry of a node. role is RoleProxy or RoleTarget; the
// uptime counts from now.
func New(role, nodeID string) *Registry {
	r := &Registry{role: role, nodeID: labelOf(nodeID), target: role == RoleTarget, started: time.Now()}
	r.initPrometheus()
	return r
}

// Done counts a successful operation: its number, bytes delivered (Get) or
// received (Put), and its time. A proxy counts the requests that it redirects,
// and the pages that it lists; HEAD of an object is counted by targets only.
func (r *Registry) Done(op Op, bck wire.Bck, bytes int64, elapsed time.Duration) {
	if !r.target && op == Head {
		return
	}
	c := &ops[op]
	nanos := max(int64(elapsed), 0)
	r.latency[op].observe(nanos)
	var s *series
	if r.labelled(c.count) {
		s = r.buckets.get(bck)
	}
	r.add(s, c.count, 1)
	if r.target && c.size != noCounter {
		r.add(s, c.size, bytes)
	}
	if c.nanos != noCounter && (r.target || !catalog[c.nanos].targetOnly) {
		r.add(s, c.nanos, nanos)
	}
}

// Failed counts an operation that ended with an error of that HTTP status. A
// GET of an object that does not exist is not counted on a target, unless
// SetCountNotFound says so.
func (r *Registry) Failed(op Op, bck wire.Bck, status int) {
	if op == Get && status == http.StatusNotFound && r.target && !r.countNotFound.Load() {
		return
	}
	r.add(r.buckets.get(bck), ops[op].failed, 1)
}

// Served is how many operations have been done for users, and the time that they
// took together, by kind: GET, PUT, HEAD, DELETE.
func (r *Registry) Served() (done [4]struct {
	Count int64
	Time  time.Duration
}) {
	for i, op := range [...]Op{Get, Put, Head, Delete} {
		done[i].Count = r.value(ops[op].count)
		done[i].Time = time.Duration(r.latency[op].sum.Load())
	}
	return done
}

// FailedMissing counts a GET of an object that does not exist as failed, for a
// bucket that wants it (bucket feature Count-Object-NotFound-Stats).
func (r *Registry) FailedMissing(bck wire.Bck) { r.add(r.buckets.get(bck), ops[Get].failed, 1) }

// FailedIO counts a local I/O error of an operation, in addition to Failed.
// Head and List have no such counter.
func (r *Registry) FailedIO(op Op, bck wire.Bck) {
	if c := ops[op].failedIO; r.target && c != noCounter {
		r.add(r.buckets.get(bck), c, 1)
	}
}

// ChecksumMismatch counts a PUT whose content was not what its checksum says,
// in addition to Failed.
func (r *Registry) ChecksumMismatch(bck wire.Bck) {
	if r.target {
		r.add(r.buckets.get(bck), errPutChecksum, 1)
	}
}

// Redirected adds the time between a gateway's redirect and the arrival of
// the request at this target. Only Get and Put are measured; negative times,
// which clocks that differ produce, are dropped.
func (r *Registry) Redirected(op Op, elapsed time.Duration) {
	if elapsed <= 0 || !r.target {
		return
	}
	switch op {
	case Get:
		r.plain[getRedirect].Add(int64(elapsed))
	case Put:
		r.plain[putRedirect].Add(int64(elapsed))
	}
}

// Keepalive adds the time of one keep-alive call, and counts its failure.
func (r *Registry) Keepalive(elapsed time.Duration, err error) {
	r.plain[keepaliveNanos].Add(max(int64(elapsed), 0))
	if err != nil {
		r.plain[errKeepalive].Add(1)
	}
}

// KeepaliveErrors is the number of failed keep-alive calls since the start;
// Reset does not change it.
func (r *Registry) KeepaliveErrors() int64 { return r.plain[errKeepalive].Load() }

// HTTPWriteFailed counts a response that could not be written to its end.
func (r *Registry) HTTPWriteFailed() { r.plain[errHTTPWrite].Add(1) }

// SetQuarantined tells how many damaged objects are in quarantine.
func (r *Registry) SetQuarantined(n int64) { r.plain[quarantined].Store(n) }

// CleanedUp adds files that were removed because nobody could reach them.
func (r *Registry) CleanedUp(files int, bytes int64) {
	r.plain[cleanedFiles].Add(int64(files))
	r.plain[cleanedBytes].Add(bytes)
}

// Scrubbed adds objects that scrub has read and compared.
func (r *Registry) Scrubbed(objects, bytes int64) {
	r.plain[scrubbedObjects].Add(objects)
	r.plain[scrubbedBytes].Add(bytes)
}

// ScrubFound counts something that scrub has found damaged, or below its level of
// protection; repaired: it was mended at once.
func (r *Registry) ScrubFound(repaired bool) {
	r.plain[scrubDamaged].Add(1)
	if repaired {
		r.plain[scrubRepaired].Add(1)
	}
}

// Evicted adds objects that were evicted because space was short.
func (r *Registry) Evicted(objects int, bytes int64) {
	r.plain[evictedObjects].Add(int64(objects))
	r.plain[evictedBytes].Add(bytes)
}

// SetCopiesPending tells how many objects wait for copies, and for how long the
// oldest of them has.
func (r *Registry) SetCopiesPending(n int64, oldest time.Duration) {
	r.plain[copiesPending].Store(n)
	r.plain[copiesOldest].Store(int64(oldest / time.Second))
}

// SetSlicesPending tells how many objects wait for slices or replicas on other
// targets, and for how long the oldest of them has.
func (r *Registry) SetSlicesPending(n int64, oldest time.Duration) {
	r.plain[slicesPending].Store(n)
	r.plain[slicesOldest].Store(int64(oldest / time.Second))
}

// SlicesMade adds slices and replicas that were made on other targets.
func (r *Registry) SlicesMade(n int, bytes int64) {
	r.plain[slicesMade].Add(int64(n))
	r.plain[slicesMadeBytes].Add(bytes)
}

// Rebuilt counts an object of a size, in bytes, that was rebuilt from what other targets hold.
func (r *Registry) Rebuilt(size int64) {
	r.plain[rebuiltObjects].Add(1)
	r.plain[rebuiltBytes].Add(size)
}

// SetMisplaced tells how many objects lie on this target that belong to another one, and
// how many on another mountpath than they belong to, and for how long a rebalance or a
// resilver has been owed.
func (r *Registry) SetMisplaced(node, mountpath int64, owed time.Duration) {
	r.plain[misplacedNode].Store(node)
	r.plain[misplacedMountpath].Store(mountpath)
	r.plain[misplacedAge].Store(int64(owed / time.Second))
}

// SetUnderProtected tells how many objects of each bucket have fewer copies or
// slices than it asks for, and for how long there have been any.
func (r *Registry) SetUnderProtected(objects map[wire.Bck]int64, age time.Duration) {
	var plain int64 // of buckets that have no series
	set := make(map[*series]bool, len(objects))
	for bck, n := range objects {
		if s := r.buckets.get(bck); s != nil {
			s.values[underProtected].Store(n)
			set[s] = true
		} else {
			plain += n
		}
	}
	r.buckets.each(func(s *series) {
		if !set[s] {
			s.values[underProtected].Store(0)
		}
	})
	r.plain[underProtected].Store(plain)
	r.plain[underProtectedAge].Store(int64(age / time.Second))
}

// SetWalked tells how many buckets, counted on each mountpath, are listed by
// walking the directories.
func (r *Registry) SetWalked(n int64) { r.plain[walked].Store(n) }

// MountpathChecked counts a health check of a mountpath that was begun.
func (r *Registry) MountpathChecked() { r.plain[errFSHC].Add(1) }

// SetDetailed switches the bucket label of a target's successful operations
// (feature Enable-Detailed-Prom-Metrics).
func (r *Registry) SetDetailed(on bool) { r.detailed.Store(on) }

// SetCountNotFound makes a target count a GET of a missing object as failed
// (feature Count-Object-NotFound-Stats).
func (r *Registry) SetCountNotFound(on bool) { r.countNotFound.Store(on) }

// SetPrimary names the primary that the node knows; empty means none.
func (r *Registry) SetPrimary(nodeID string) {
	if nodeID == "" {
		r.primary.Store(nil)
		return
	}
	label := labelOf(nodeID)
	r.primary.Store(&label)
}

// Flags returns the node's alert mask.
func (r *Registry) Flags() wire.NodeFlags { return wire.NodeFlags(r.flags.Load()) }

// ReplaceFlags sets the whole alert mask. A node that watches its state calls
// it at every look, also when nothing changed: it ends what Reset did.
func (r *Registry) ReplaceFlags(mask wire.NodeFlags) {
	r.flags.Store(uint64(mask))
	r.flagsReset.Store(false)
}

// Uptime is the time since New.
func (r *Registry) Uptime() time.Duration { return time.Since(r.started) }

// labelled tells that a counter carries the bucket at this time.
func (r *Registry) labelled(c id) bool {
	switch catalog[c].label {
	case always:
		return true
	case detailed:
		return !r.target || r.detailed.Load()
	default:
		return false
	}
}

// add adds to the series of a bucket, or without one to the plain counter.
func (r *Registry) add(s *series, c id, n int64) {
	if s != nil && c < numLabelled {
		s.values[c].Add(n)
	} else {
		r.plain[c].Add(n)
	}
}

// value is the cumulative value of a counter over all buckets.
func (r *Registry) value(c id) int64 {
	n := r.plain[c].Load()
	if c < numLabelled {
		r.buckets.each(func(s *series) { n += s.values[c].Load() })
	}
	return n
}
