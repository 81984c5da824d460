package meta

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/wire"
)

// BMD is the bucket metadata: all buckets that the cluster knows, with their
// properties. A published BMD is immutable.
type BMD struct {
	UUID    string // of the cluster
	Version int64

	buckets map[wire.Bck]*Bprops
}

// bmdJSON is the wire form: provider -> uname of the namespace -> name.
type bmdJSON struct {
	Providers map[string]map[string]map[string]*Bprops `json:"providers"`
	UUID      string                                   `json:"uuid"`
	Version   int64                                    `json:"version,string"`
}

// BucketEntry is a bucket with its properties.
type BucketEntry struct {
	Bck   wire.Bck `json:"bck"`
	Props *Bprops  `json:"props"`
}

// BMDPatch changes bucket metadata: first Del, then Put. Properties with BID
// 0 create the bucket, which gets its id when the patch is applied; others
// replace those of the bucket with that id.
type BMDPatch struct {
	Put []BucketEntry `json:"put,omitempty"`
	Del []wire.Bck    `json:"del,omitempty"`
}

// NewBMD returns bucket metadata with the given buckets, for tests and tools;
// in a cluster they come from commands only.
func NewBMD(uuid string, version int64, buckets ...BucketEntry) *BMD {
	b := &BMD{UUID: uuid, Version: version, buckets: make(map[wire.Bck]*Bprops, len(buckets))}
	for _, entry := range buckets {
		b.buckets[entry.Bck] = entry.Props
	}
	return b
}

// Kind is KindBMD.
func (b *BMD) Kind() string { return KindBMD }

// Ver is the version; 0 for nil.
func (b *BMD) Ver() int64 {
	if b == nil {
		return 0
	}
	return b.Version
}

// Get returns the properties of a bucket. It neither allocates nor locks.
func (b *BMD) Get(bck wire.Bck) (*Bprops, bool) {
	if b == nil {
		return nil, false
	}
	p, ok := b.buckets[bck]
	return p, ok
}

// Len is the number of buckets.
func (b *BMD) Len() int {
	if b == nil {
		return 0
	}
	return len(b.buckets)
}

// Buckets returns the buckets that pass the filter (nil: all), by provider,
// namespace and name.
func (b *BMD) Buckets(filter func(wire.Bck, *Bprops) bool) []BucketEntry {
	if b == nil {
		return nil
	}
	list := make([]BucketEntry, 0, len(b.buckets))
	for bck, props := range b.buckets {
		if filter == nil || filter(bck, props) {
			list = append(list, BucketEntry{Bck: bck, Props: props})
		}
	}
	slices.SortFunc(list, func(x, y BucketEntry) int { return compareBuckets(x.Bck, y.Bck) })
	return list
}

func compareBuckets(x, y wire.Bck) int {
	return cmp.Or(
		cmp.Compare(x.Provider, y.Provider),
		cmp.Compare(x.Ns.UUID, y.Ns.UUID),
		cmp.Compare(x.Ns.Name, y.Ns.Name),
		cmp.Compare(x.Name, y.Name),
	)
}

// MarshalJSON writes the wire form.
func (b *BMD) MarshalJSON() ([]byte, error) {
	form := bmdJSON{Providers: map[string]map[string]map[string]*Bprops{}, UUID: b.UUID, Version: b.Version}
	for bck, props := range b.buckets {
		namespaces := form.Providers[bck.Provider]
		if namespaces == nil {
			namespaces = map[string]map[string]*Bprops{}
			form.Providers[bck.Provider] = namespaces
		}
		ns := bck.Ns.Uname()
		if namespaces[ns] == nil {
			namespaces[ns] = map[string]*Bprops{}
		}
		namespaces[ns][bck.Name] = props
	}
	return json.Marshal(&form)
}

// UnmarshalJSON reads the wire form.
func (b *BMD) UnmarshalJSON(data []byte) error {
	var form bmdJSON
	if err := json.Unmarshal(data, &form); err != nil {
		return apierr.Wrap(err, apierr.StatusBadRequest, "", "failed to unmarshal the bucket metadata")
	}
	if form.Version <= 0 {
		return apierr.BadRequest("invalid bucket metadata: version %d", form.Version)
	}
	fresh := BMD{UUID: form.UUID, Version: form.Version, buckets: map[wire.Bck]*Bprops{}}
	for provider, namespaces := range form.Providers {
		for ns, buckets := range namespaces {
			for name, props := range buckets {
				bck := wire.Bck{Name: name, Provider: provider, Ns: wire.ParseNs(ns)}
				if err := checkEntry(bck, props); err != nil {
					return err
				}
				if fresh.buckets[bck] != nil {
					return apierr.BadRequest("invalid bucket metadata: bucket %q is there twice", bck.String())
				}
				fresh.buckets[bck] = props
			}
		}
	}
	*b = fresh
	return nil
}

func checkEntry(bck wire.Bck, props *Bprops) error {
	switch {
	case bck.Name == "":
		return apierr.BadRequest("invalid bucket metadata: a bucket without a name")
	case props == nil:
		return apierr.BadRequest("invalid bucket metadata: bucket %q has no properties", bck.String())
	case props.Provider != bck.Provider:
		return apierr.BadRequest("invalid bucket metadata: bucket %q has the provider %q among its properties", bck.String(), props.Provider)
	case bck.Ns != wire.ParseNs(bck.Ns.Uname()):
		return apierr.BadRequest("invalid bucket metadata: bucket %q has a namespace that has no unique name", bck.String())
	}
	if canonical, ok := wire.NormalizeProvider(bck.Provider); !ok || canonical != bck.Provider {
		return apierr.BadRequest("invalid bucket metadata: unknown provider %q", bck.Provider)
	}
	return nil
}

// Encode returns the wire form.
func (b *BMD) Encode() ([]byte, error) { return json.Marshal(b) }

// creations counts the buckets that the patch creates.
func (p *BMDPatch) creations() int64 {
	var n int64
	for _, entry := range p.Put {
		if entry.Props != nil && entry.Props.BID == 0 {
			n++
		}
	}
	return n
}

// apply returns the metadata that p makes of b (nil: the first, empty ones),
// at a version. The bucket ids of new buckets are the versions from the one
// replaced up to the new one, each used once, so an id never comes back.
func (p *BMDPatch) apply(b *BMD, uuid string, version int64) (*BMD, error) {
	next := &BMD{UUID: uuid, Version: version, buckets: map[wire.Bck]*Bprops{}}
	from := int64(0)
	if b != nil {
		next.UUID, from, next.buckets = b.UUID, b.Version, maps.Clone(b.buckets)
	}
	if created := p.creations(); created > 0 && (b == nil || created > version-from) {
		return nil, apierr.BadRequest("%d new buckets need as many versions of existing bucket metadata", created)
	}
	for _, bck := range p.Del {
		delete(next.buckets, bck)
	}
	id := uint64(from) //nolint:gosec // versions are positive
	for _, entry := range p.Put {
		if err := checkEntry(entry.Bck, entry.Props); err != nil {
			return nil, err
		}
		props, current := entry.Props.Clone(), next.buckets[entry.Bck]
		switch {
		case props.BID == 0 && current != nil:
			return nil, apierr.BucketExists(entry.Bck)
		case props.BID == 0:
			if props.BID = id; !props.IsRemote(entry.Bck) {
				props.BID |= bidAIS
			}
			id++
		case current == nil:
			return nil, apierr.BucketNotFound(entry.Bck)
		case current.BID != props.BID:
			return nil, apierr.New(apierr.StatusConflict, "", "bucket %q has the id %d, not %d: it was created again meanwhile",
				entry.Bck.String(), current.BID, props.BID)
		}
		next.buckets[entry.Bck] = props
	}
	return next, nil
}
