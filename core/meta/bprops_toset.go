package meta

import (
	"github.com/aistore-go/aistore/cmn/config/dotted"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
)

// BpropsToSet is a change of bucket properties: what is nil stays as it is.
// Its JSON is that of Bprops without the keys that are nil.
type BpropsToSet struct {
	BackendBck  *BackendBckToSet  `json:"backend_bck,omitempty"`
	WritePolicy *WritePolicyToSet `json:"write_policy,omitempty"`
	Checksum    *ChecksumToSet    `json:"checksum,omitempty"`
	Extra       *ExtraToSet       `json:"extra,omitempty"`
	RateLimit   *RateLimitToSet   `json:"rate_limit,omitempty"`
	EC          *ECToSet          `json:"ec,omitempty"`
	Chunks      *ChunksToSet      `json:"chunks,omitempty"`
	Mirror      *MirrorToSet      `json:"mirror,omitempty"`
	LRU         *LRUToSet         `json:"lru,omitempty"`
	Access      *Access           `json:"access,omitempty"`
	Features    *feature.Flags    `json:"features,omitempty"`
	Versioning  *VersioningToSet  `json:"versioning,omitempty"`
	Durability  *string           `json:"durability,omitempty"`
	Force       bool              `json:"force,omitempty"` // of this request only; overrides two checks of erasure coding
}

// BackendBckToSet attaches a remote bucket; empty name and provider detach it.
type BackendBckToSet struct {
	Name     *string  `json:"name,omitempty"`
	Provider *string  `json:"provider,omitempty"`
	Ns       *wire.Ns `json:"namespace,omitempty"`
}

func (b *BackendBckToSet) detaches() bool {
	return b.Name != nil && *b.Name == "" && b.Provider != nil && *b.Provider == ""
}

// WritePolicyToSet is a part of BpropsToSet.
type WritePolicyToSet struct {
	Data *string `json:"data,omitempty"`
	MD   *string `json:"md,omitempty"`
}

// ChecksumToSet is a part of BpropsToSet.
type ChecksumToSet struct {
	Type            *string `json:"type,omitempty"`
	ValidateColdGet *bool   `json:"validate_cold_get,omitempty"`
	ValidateWarmGet *bool   `json:"validate_warm_get,omitempty"`
	ValidateObjMove *bool   `json:"validate_obj_move,omitempty"`
	EnableReadRange *bool   `json:"enable_read_range,omitempty"`
}

// ExtraToSet is a part of BpropsToSet.
type ExtraToSet struct {
	AWS    *ExtraAWSToSet `json:"aws,omitempty"`
	GCP    *ExtraGCPToSet `json:"gcp,omitempty"`
	OCI    *ExtraOCIToSet `json:"oci,omitempty"`
	Custom *string        `json:"custom,omitempty"`
}

// ExtraAWSToSet is a part of BpropsToSet.
type ExtraAWSToSet struct {
	CloudRegion   *string    `json:"cloud_region,omitempty"`
	Endpoint      *string    `json:"endpoint,omitempty"`
	Profile       *string    `json:"profile,omitempty"`
	MaxPageSize   *int64     `json:"max_pagesize,omitempty"`
	MultipartSize *unit.Size `json:"multipart_size,omitempty"`
}

// ExtraGCPToSet is a part of BpropsToSet.
type ExtraGCPToSet struct {
	ApplicationCreds *string `json:"application_creds,omitempty"`
}

// ExtraOCIToSet is a part of BpropsToSet.
type ExtraOCIToSet struct {
	Region *string `json:"region,omitempty"`
}

// RateLimitToSet is a part of BpropsToSet.
type RateLimitToSet struct {
	Backend  *BackendRateToSet  `json:"backend,omitempty"`
	Frontend *FrontendRateToSet `json:"frontend,omitempty"`
}

// BackendRateToSet is a part of BpropsToSet.
type BackendRateToSet struct {
	Interval       *unit.Duration `json:"interval,omitempty"`
	MaxTokens      *int           `json:"max_tokens,omitempty"`
	Enabled        *bool          `json:"enabled,omitempty"`
	PerOpMaxTokens *string        `json:"per_op_max_tokens,omitempty"`
	NumRetries     *int           `json:"num_retries,omitempty"`
}

// FrontendRateToSet is a part of BpropsToSet.
type FrontendRateToSet struct {
	Interval       *unit.Duration `json:"interval,omitempty"`
	MaxTokens      *int           `json:"max_tokens,omitempty"`
	Enabled        *bool          `json:"enabled,omitempty"`
	PerOpMaxTokens *string        `json:"per_op_max_tokens,omitempty"`
	BurstSize      *int           `json:"burst_size,omitempty"`
}

// ECToSet is a part of BpropsToSet.
type ECToSet struct {
	Compression      *string `json:"compression,omitempty"`
	BundleMultiplier *int    `json:"bundle_multiplier,omitempty"`
	BurstBuffer      *int    `json:"burst_buffer,omitempty"`
	ObjSizeLimit     *int64  `json:"objsize_limit,omitempty"`
	DataSlices       *int    `json:"data_slices,omitempty"`
	ParitySlices     *int    `json:"parity_slices,omitempty"`
	Enabled          *bool   `json:"enabled,omitempty"`
	DiskOnly         *bool   `json:"disk_only,omitempty"`
}

// ChunksToSet is a part of BpropsToSet.
type ChunksToSet struct {
	ObjSizeLimit      *unit.Size `json:"objsize_limit,omitempty"`
	MaxMonolithicSize *unit.Size `json:"max_monolithic_size,omitempty"`
	ChunkSize         *unit.Size `json:"chunk_size,omitempty"`
	CheckpointEvery   *int       `json:"checkpoint_every,omitempty"`
	Flags             *uint64    `json:"flags,omitempty"`
}

// MirrorToSet is a part of BpropsToSet.
type MirrorToSet struct {
	Copies      *int  `json:"copies,omitempty"`
	BurstBuffer *int  `json:"burst_buffer,omitempty"`
	Enabled     *bool `json:"enabled,omitempty"`
}

// LRUToSet is a part of BpropsToSet.
type LRUToSet struct {
	DontEvictTime   *unit.Duration `json:"dont_evict_time,omitempty"`
	CapacityUpdTime *unit.Duration `json:"capacity_upd_time,omitempty"`
	BatchSize       *int64         `json:"batch_size,omitempty"`
	Enabled         *bool          `json:"enabled,omitempty"`
}

// VersioningToSet is a part of BpropsToSet.
type VersioningToSet struct {
	Enabled         *bool `json:"enabled,omitempty"`
	ValidateWarmGet *bool `json:"validate_warm_get,omitempty"`
	Synchronize     *bool `json:"synchronize,omitempty"`
}

// readOnlyProps are the keys of Bprops that nobody sets.
var readOnlyProps = [...]string{"provider", "bid", "created", "Renamed", "encoded"}

// UnmarshalJSON reads a JSON object strictly: a key that does not exist is
// 400 `unknown property "x"`, one that cannot be set is 400 `property "x" is
// readonly`. Keys set to null are left out.
func (s *BpropsToSet) UnmarshalJSON(data []byte) error {
	var fresh BpropsToSet
	if string(data) == "null" {
		return nil // by convention; changes nothing
	}
	err := dotted.Decode(data, &fresh, func(key string, known bool) error {
		for _, name := range readOnlyProps {
			if key == name {
				return dotted.ReadOnly(key)
			}
		}
		if !known {
			return dotted.Unknown(key)
		}
		return nil
	})
	if err == nil {
		*s = fresh
	}
	return err
}

// SetText sets one property by its dotted name from text, as command lines
// have it: "mirror.copies", "3".
func (s *BpropsToSet) SetText(key, text string) error {
	for _, name := range readOnlyProps {
		if key == name {
			return dotted.ReadOnly(key)
		}
	}
	return dotted.Set(s, key, text)
}

// Keys returns the dotted names of all properties that can be set.
func (*BpropsToSet) Keys() []string { return dotted.Keys(new(BpropsToSet)) }
