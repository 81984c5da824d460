package metrics

import (
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/aistore-go/aistore/cmn/wire"
)

const (
	shardBits = 6
	// maxBuckets limits the series of a shard: a client that invents bucket
	// names cannot make a node's memory grow. Later buckets are counted
	// without a label.
	maxBuckets = 512
	maxLabel   = 256 // bytes
)

// series are the counters of one bucket.
type series struct {
	label  string
	values [numLabelled]atomic.Int64
}

// bucketTable finds the series of a bucket. Reading takes no lock: each shard
// is an immutable map that adding a bucket replaces.
type bucketTable struct {
	shards [1 << shardBits]atomic.Pointer[map[wire.Bck]*series]
	mu     sync.Mutex // of those who add
}

// get returns the series of a bucket. It is nil, for counting without a label,
// when there are too many buckets, and when the name cannot be a label: errors
// are counted also for requests whose bucket was refused.
func (t *bucketTable) get(b wire.Bck) *series {
	if b.Name == "" {
		return nil
	}
	if b.Provider == "" {
		b.Provider = wire.ProviderAIS // or two series would have one label
	}
	shard := &t.shards[shardOf(b.Name)]
	if m := shard.Load(); m != nil {
		if s, ok := (*m)[b]; ok {
			return s
		}
	}
	return t.addTo(shard, b)
}

func (t *bucketTable) addTo(shard *atomic.Pointer[map[wire.Bck]*series], b wire.Bck) *series {
	label := b.String()
	if !utf8.ValidString(label) || len(label) > maxLabel {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var old map[wire.Bck]*series
	if m := shard.Load(); m != nil {
		old = *m
	}
	if s, ok := old[b]; ok {
		return s
	}
	if len(old) >= maxBuckets {
		return nil
	}
	next := make(map[wire.Bck]*series, len(old)+1)
	for k, s := range old {
		next[k] = s
	}
	s := &series{label: label}
	next[b] = s
	shard.Store(&next)
	return s
}

func (t *bucketTable) each(visit func(*series)) {
	for i := range t.shards {
		if m := t.shards[i].Load(); m != nil {
			for _, s := range *m {
				visit(s)
			}
		}
	}
}

// shardOf is FNV-1a of the name, folded.
func shardOf(name string) uint32 {
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return (h ^ h>>16) & (1<<shardBits - 1)
}
