package meta

import (
	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Values of Bprops.Durability: what is true of an object when its write is
// acknowledged.
const (
	DurabilitySync      = "sync"      // data, record and name are on stable storage
	DurabilityNone      = "none"      // written, not flushed
	DurabilityRedundant = "redundant" // sync, and the loss of one disk or node is survivable
)

// bidAIS marks the bucket ids of buckets whose data only this cluster holds.
const bidAIS = 1 << 63

// Bprops are the properties of a bucket. As part of a published BMD they are
// immutable: change a Clone.
type Bprops struct {
	BackendBck  wire.Bck               `json:"backend_bck"` // remote bucket behind an ais:// bucket
	WritePolicy config.WritePolicyConf `json:"write_policy"`
	Provider    string                 `json:"provider"`
	Renamed     string                 `json:"Renamed"` // job that is renaming this bucket
	Checksum    config.ChecksumConf    `json:"checksum"`
	Extra       ExtraProps             `json:"extra"`
	RateLimit   config.RateLimitConf   `json:"rate_limit"`
	EC          config.ECConf          `json:"ec"`
	Chunks      config.ChunksConf      `json:"chunks"`
	Mirror      config.MirrorConf      `json:"mirror"`
	LRU         config.LRUConf         `json:"lru"`
	Access      Access                 `json:"access"`
	Features    feature.Flags          `json:"features"`
	BID         uint64                 `json:"bid,string"`     // unique per creation; 0: not registered here
	Created     int64                  `json:"created,string"` // Unix nanoseconds
	Versioning  config.VersioningConf  `json:"versioning"`
	Durability  string                 `json:"durability"`
	// Encoded: ec.enabled was true before, and other targets may hold slices.
	Encoded bool `json:"encoded,omitempty"`
}

// ExtraProps are the properties of single providers. Clients refuse keys that
// are not these.
type ExtraProps struct {
	AWS    ExtraAWS `json:"aws"`
	GCP    ExtraGCP `json:"gcp"`
	OCI    ExtraOCI `json:"oci"`
	Custom string   `json:"custom,omitempty"` // opaque text of the user
}

// ExtraAWS is how to reach a bucket of provider aws.
type ExtraAWS struct {
	CloudRegion   string    `json:"cloud_region,omitempty"`
	Endpoint      string    `json:"endpoint,omitempty"`
	Profile       string    `json:"profile,omitempty"`
	MaxPageSize   int64     `json:"max_pagesize,omitempty"`
	MultipartSize unit.Size `json:"multipart_size,omitempty"` // -1: never in parts
}

// ExtraGCP is how to reach a bucket of provider gcp.
type ExtraGCP struct {
	ApplicationCreds string `json:"application_creds,omitempty"`
}

// ExtraOCI is how to reach a bucket of provider oci.
type ExtraOCI struct {
	Region string `json:"region,omitempty"`
}

// DefaultBprops are the properties of a new bucket: copied from the cluster
// configuration. BID and Created are left 0.
func DefaultBprops(b wire.Bck, c *config.Cluster) *Bprops {
	p := &Bprops{
		WritePolicy: c.WritePolicy,
		Provider:    b.Provider,
		Checksum:    c.Checksum,
		RateLimit:   c.RateLimit,
		EC:          c.EC,
		Chunks:      c.Chunks,
		Mirror:      c.Mirror,
		LRU:         c.LRU,
		Access:      AccessAll,
		Features:    c.Features & feature.BucketScope,
		Versioning:  c.Versioning,
		Durability:  DurabilityNone,
	}
	if b.Provider == wire.ProviderAIS {
		p.LRU.Enabled = false
	}
	if b.IsAIS() {
		p.Durability = DurabilitySync
	} else {
		p.Versioning.Enabled = false
	}
	return p
}

// Clone returns a copy that shares nothing with p.
func (p *Bprops) Clone() *Bprops {
	clone := *p
	return &clone
}

// HasBackend tells an ais:// bucket with a remote bucket behind it.
func (p *Bprops) HasBackend() bool { return p.BackendBck.Name != "" }

// IsRemote tells that a remote backend holds the data of the bucket b, whose
// properties these are.
func (p *Bprops) IsRemote(b wire.Bck) bool { return !b.IsAIS() || p.HasBackend() }

// Sliced tells that other targets may hold slices or replicas of objects: the
// bucket is erasure-coded, or was. Whoever changes an object then tells them, so that
// nothing older comes back from them should it be erasure-coded again.
func (p *Bprops) Sliced() bool { return p.EC.Enabled || p.Encoded }

// SyncWrites tells that a write is acknowledged only when it is on stable
// storage: by durability, or by the feature Fsync-PUT.
func (p *Bprops) SyncWrites() bool {
	return p.Durability != DurabilityNone || p.Features.Has(feature.FsyncPUT)
}

// Set changes p by what a client asked for, then validates the result. It is
// all or nothing: after an error p is as before. The error is a 400 that
// names the property, or a 501 for what is not built yet.
func (p *Bprops) Set(set *BpropsToSet) error {
	next := p.Clone()
	next.merge(set)
	next.Encoded = p.Sliced()
	if p.Provider != wire.ProviderAIS && next.Versioning.Enabled != p.Versioning.Enabled {
		return apierr.BadRequest("property \"versioning.enabled\" of a cloud bucket cannot be changed")
	}
	if err := next.Validate(); err != nil {
		return err
	}
	if err := next.built(p); err != nil {
		return err
	}
	*p = *next
	return nil
}

// Reset returns the properties that the bucket b has after a reset: the
// defaults, with its id and creation time. A bucket with a backend must be
// detached first, 400.
func (p *Bprops) Reset(b wire.Bck, c *config.Cluster) (*Bprops, error) {
	if p.HasBackend() {
		return nil, apierr.BadRequest("bucket %q has the backend %q: detach it before the properties are reset", b.String(), p.BackendBck.String())
	}
	next := DefaultBprops(b, c)
	next.BID, next.Created, next.Renamed, next.Encoded = p.BID, p.Created, p.Renamed, p.Sliced()
	if p.Provider != wire.ProviderAIS {
		next.Versioning.Enabled, next.Extra = p.Versioning.Enabled, p.Extra
	}
	return next, next.Validate()
}

// built refuses what p newly turns on compared with old and nobody would do.
func (p *Bprops) built(old *Bprops) error {
	switch {
	case p.LRU.CapacityUpdTime != old.LRU.CapacityUpdTime, p.LRU.BatchSize != old.LRU.BatchSize:
		return apierr.BadRequest("properties \"lru.capacity_upd_time\" and \"lru.batch_size\": they are not of single buckets: set them in the cluster's configuration")
	case p.HasBackend():
		return apierr.NotImplemented("property \"backend_bck\": buckets with a remote backend are not built yet")
	case p.RateLimit.Backend.Enabled && !old.RateLimit.Backend.Enabled:
		return apierr.NotImplemented("property \"rate_limit.backend.enabled\": limits for backends are not built yet")
	case p.Durability == DurabilityRedundant && !p.Mirror.Enabled && !p.EC.Enabled:
		return apierr.NotImplemented("property \"durability\": %q of buckets with neither mirror.enabled nor ec.enabled is not built yet (%q and %q are)",
			DurabilityRedundant, DurabilitySync, DurabilityNone)
	}
	return nil
}

// CheckEC refuses what the erasure coding of a bucket cannot be changed to from
// old, or what a number of active targets cannot hold. With force only the numbers of
// slices of a bucket that is encoded are checked. The error is a 400.
func (p *Bprops) CheckEC(old *Bprops, b wire.Bck, targets int, force bool) error {
	now, was := &p.EC, &old.EC
	if !now.Enabled {
		return nil
	}
	if was.Enabled && (now.DataSlices != was.DataSlices || now.ParitySlices != was.ParitySlices) {
		return apierr.BadRequest("EC is already enabled on the bucket %s with ec.data_slices=%d and ec.parity_slices=%d: disable it before they are changed",
			b.String(), was.DataSlices, was.ParitySlices)
	}
	if force {
		return nil
	}
	if was.Enabled && now.ObjSizeLimit != was.ObjSizeLimit {
		return apierr.BadRequest("EC is already enabled on the bucket %s with ec.objsize_limit=%d: to change it needs force", b.String(), was.ObjSizeLimit)
	}
	if was.Enabled && p != old {
		return nil // what is too few already is no reason to refuse other changes
	}
	need := now.DataSlices + now.ParitySlices + 1
	if now.ObjSizeLimit < 0 {
		need = now.ParitySlices + 1
	}
	if targets < need {
		return apierr.New(apierr.StatusBadRequest, wire.CodeNotEnoughTargets,
			"not enough target nodes: EC configuration (D = %d, P = %d) requires at least %d targets (have %d)", now.DataSlices, now.ParitySlices, need, targets)
	}
	return nil
}
