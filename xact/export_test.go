package xact

import "time"

// Shorten makes idle jobs end, and ended jobs be forgotten, after these times.
func (r *Registry) Shorten(idleEnd, keep, keepShort time.Duration) {
	r.timing = timing{idleEnd: idleEnd, keep: keep, keepShort: keepShort}
}

// Share is the part of its time that a job may work.
var Share = share
