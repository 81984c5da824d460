package metrics

// CacheCounts is what a cache of object metadata did since the start.
type CacheCounts struct {
	Hits, Misses, Evicted, Expired, Collisions int64
}

// SetCache hands over where the counts of the metadata cache come from; they
// are asked for when somebody looks.
func (r *Registry) SetCache(counts func() CacheCounts) { r.cache.Store(&counts) }

func (r *Registry) countCache() {
	counts := r.cache.Load()
	if counts == nil {
		return
	}
	c := (*counts)()
	r.plain[cacheHits].Store(c.Hits)
	r.plain[cacheMisses].Store(c.Misses)
	r.plain[cacheEvicted].Store(c.Evicted)
	r.plain[cacheExpired].Store(c.Expired)
	r.plain[cacheCollisions].Store(c.Collisions)
}
