package wire

import (
	"encoding/json"
)

// Messages of operations on many objects: the values of the actions of the
// same names. Clients match keys in any case.

// ListRange selects objects: by a list of names, which wins if it is not
// empty, or by a template (see package template). Neither means every object.
type ListRange struct {
	Names    []string `json:"objnames"`
	Template string   `json:"template"`
}

// RemoveMsg is the value of delete-listrange and evict-listrange.
type RemoveMsg struct {
	ListRange
	NumWorkers      int  `json:"num-workers,omitempty"` // 0: as many as the job thinks fit; -1: one per mountpath
	ContinueOnError bool `json:"coer,omitempty"`
	NonRecursive    bool `json:"non-recurs,omitempty"`
}

// PrefetchMsg is the value of prefetch-listrange.
type PrefetchMsg struct {
	ListRange
	NumWorkers      int   `json:"num-workers,omitempty"`
	ContinueOnError bool  `json:"coer,omitempty"`
	NonRecursive    bool  `json:"non-recurs,omitempty"`
	LatestVersion   bool  `json:"latest-ver,omitempty"`
	BlobThreshold   int64 `json:"blob-threshold,omitempty"`  // bytes
	BlobChunkSize   int64 `json:"blob-chunk-size,omitempty"` // bytes
	BlobNumWorkers  int   `json:"blob-num-workers,omitempty"`
}

// CopyBucketMsg is the value of copy-bck and etl-bck.
type CopyBucketMsg struct {
	Prefix        string            `json:"prefix"`
	Prepend       string            `json:"prepend"`
	Ext           map[string]string `json:"ext"` // of names, without dots: old to new
	DryRun        bool              `json:"dry_run"`
	Force         bool              `json:"force"`
	LatestVersion bool              `json:"latest-ver"`
	Synchronize   bool              `json:"synchronize"` // remove at the destination what is gone at the source

	NonRecursive    bool `json:"non-recurs,omitempty"`
	NumWorkers      int  `json:"num-workers,omitempty"`
	ContinueOnError bool `json:"coer,omitempty"`

	// Of transformations.
	ETL            string          `json:"id,omitempty"`
	Pipeline       []string        `json:"pipeline,omitempty"`
	RequestTimeout json.RawMessage `json:"request_timeout,omitempty"`
}

// CopyObjectsMsg is the value of copy-listrange and etl-listrange.
type CopyObjectsMsg struct {
	ListRange
	CopyBucketMsg
	To    *Bck   `json:"tobck"`
	TxnID string `json:"TxnUUID,omitempty"` // means nothing here
}

// PromoteMsg is the value of promote.
type PromoteMsg struct {
	NodeID       string `json:"tid,omitempty"` // only this target
	Source       string `json:"src,omitempty"` // absolute path of a file or directory on the targets
	Object       string `json:"obj,omitempty"` // name of the object, or beginning of the names
	Recursive    bool   `json:"rcr,omitempty"`
	Overwrite    bool   `json:"ovw,omitempty"`
	DeleteSource bool   `json:"dls,omitempty"`
	NotShared    bool   `json:"notshr,omitempty"` // do not look whether all targets see the same files
}

// RechunkMsg is the value of rechunk.
type RechunkMsg struct {
	SizeLimit  int64  `json:"objsize-limit"` // bytes: larger objects are stored in chunks; 0: none
	ChunkSize  int64  `json:"chunk-size"`    // bytes
	Prefix     string `json:"prefix"`
	SyncRemote bool   `json:"sync-remote"`
}

// SummaryMsg is the value of summary-bck.
type SummaryMsg struct {
	UUID          string `json:"uuid"` // "": start; else ask for the result
	Prefix        string `json:"prefix"`
	Cached        bool   `json:"cached"`  // only what is in the cluster
	Present       bool   `json:"present"` // only buckets that the cluster knows
	DontAddRemote bool   `json:"dont_add_remote"`
}

// BucketSummary is what is in a bucket.
type BucketSummary struct {
	Bck
	Count   SummaryCount `json:"ObjCount"`
	Size    SummarySize  `json:"ObjSize"`
	Total   SummaryTotal `json:"TotalSize"`
	UsedPct uint64       `json:"used_pct"`
	Present bool         `json:"is_present"`
	// UnderProtected counts objects that have fewer copies or slices than the
	// bucket asks for. Only this system tells; absent: none.
	UnderProtected uint64 `json:"under_protected,string,omitempty"`
}

// SummaryCount counts objects.
type SummaryCount struct {
	Present uint64 `json:"obj_count_present,string"`
	Remote  uint64 `json:"obj_count_remote,string"`
}

// SummarySize is the sizes of objects in bytes; of none all are 0.
type SummarySize struct {
	Min int64 `json:"obj_min_size"`
	Avg int64 `json:"obj_avg_size"`
	Max int64 `json:"obj_max_size"`
}

// SummaryTotal is sizes of all objects together, in bytes.
type SummaryTotal struct {
	OnDisk  uint64 `json:"size_on_disk,string"`
	Present uint64 `json:"size_all_present_objs,string"` // with all copies
	Remote  uint64 `json:"size_all_remote_objs,string"`
	Disks   uint64 `json:"total_disks_size,string"`
}

// Add adds what another target has of the same bucket.
func (s *BucketSummary) Add(more *BucketSummary) {
	if n := more.Count.Present; n > 0 {
		if s.Count.Present == 0 || more.Size.Min < s.Size.Min {
			s.Size.Min = more.Size.Min
		}
		s.Size.Max = max(s.Size.Max, more.Size.Max)
	}
	s.UnderProtected += more.UnderProtected
	s.Count.Present += more.Count.Present
	s.Count.Remote += more.Count.Remote
	s.Total.OnDisk += more.Total.OnDisk
	s.Total.Present += more.Total.Present
	s.Total.Remote += more.Total.Remote
	s.Total.Disks += more.Total.Disks
}

// Finish computes average and percentage, when everything was added.
func (s *BucketSummary) Finish() {
	if n := s.Count.Present; n > 0 {
		s.Size.Avg = int64((s.Total.Present + n/2) / n) //nolint:gosec // bytes on disks
	}
	if disks := s.Total.Disks; disks > 0 {
		s.UsedPct = uint64(float64(s.Total.OnDisk)*100/float64(disks) + 0.5)
	}
}
