package proxy

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config"
	"github.com/aistore-go/aistore/cmn/metrics"
	"github.com/aistore-go/aistore/cmn/wire"
	"github.com/aistore-go/aistore/core/meta"
)

// rateLimits are the token buckets of the buckets that have a limit for
// clients: one for each operation. The cluster's limit is shared by its
// gateways, so that each admits its part. A bucket without a limit costs a
// look at its properties.
type rateLimits struct {
	limiters sync.Map // of rateKey to *rateLimiter
}

type rateKey struct {
	bid uint64 // a bucket that was created anew starts anew
	op  metrics.Op
}

// rateLimiter is a token bucket and what it was made for.
type rateLimiter struct {
	tokens *rate.Limiter

	mu       sync.Mutex
	conf     config.FrontendRateConf
	gateways int
}

// admit takes one token for an operation, or returns the 429. It never waits.
// Only GET, PUT and DELETE have limits.
func (l *rateLimits) admit(view *meta.View, props *meta.Bprops, op metrics.Op, now time.Time) error {
	conf := &props.RateLimit.Frontend
	if !conf.Enabled {
		return nil
	}
	gateways := activeGateways(view.Smap)
	key := rateKey{bid: props.BID, op: op}
	found, ok := l.limiters.Load(key)
	if !ok {
		l.forget(view.BMD)
		limit, burst := shareOf(conf, op, gateways)
		found, _ = l.limiters.LoadOrStore(key, &rateLimiter{tokens: rate.NewLimiter(limit, burst), conf: *conf, gateways: gateways})
	}
	limiter := found.(*rateLimiter) //nolint:errcheck,forcetypeassert // nothing else is stored
	limiter.follow(conf, op, gateways, now)
	if limiter.tokens.AllowN(now, 1) {
		return nil
	}
	e := apierr.New(http.StatusTooManyRequests, wire.CodeRateLimitFrontend, "Too Many Requests")
	e.RetryAfter = time.Second
	return e
}

// activeGateways is the number of gateways among which clients spread.
func activeGateways(smap *meta.Smap) int {
	n := 0
	for _, node := range smap.Pmap {
		if node.Active() {
			n++
		}
	}
	return max(n, 1)
}

// follow makes the limiter that of the properties and the map of today.
func (l *rateLimiter) follow(conf *config.FrontendRateConf, op metrics.Op, gateways int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conf == *conf && l.gateways == gateways {
		return
	}
	limit, burst := shareOf(conf, op, gateways)
	l.tokens.SetLimitAt(now, limit)
	l.tokens.SetBurstAt(now, burst)
	l.conf, l.gateways = *conf, gateways
}

// shareOf is one gateway's part of a limit: operations a second, and how many
// may come at once.
func shareOf(conf *config.FrontendRateConf, op metrics.Op, gateways int) (rate.Limit, int) {
	share := float64(gateways)
	limit := float64(tokensOf(&conf.RateConf, op)) / conf.Interval.D().Seconds() / share
	return rate.Limit(limit), max(int(math.Round(float64(conf.BurstSize)/share)), 1)
}

// tokensOf is the number of operations an interval: that of the verb, if it
// has one of its own.
func tokensOf(conf *config.RateConf, op metrics.Op) int {
	for word := range strings.FieldsSeq(conf.PerOpMaxTokens) {
		verb, number, _ := strings.Cut(word, ":")
		if n, err := strconv.Atoi(number); err == nil && strings.EqualFold(verb, verbOf(op)) {
			return n
		}
	}
	return conf.MaxTokens
}

// verbOf is the name of a limited operation in per_op_max_tokens.
func verbOf(op metrics.Op) string {
	switch op {
	case metrics.Get:
		return "get"
	case metrics.Put:
		return "put"
	default:
		return "delete"
	}
}

// forget drops the limiters of buckets that are gone.
func (l *rateLimits) forget(bmd *meta.BMD) {
	alive := make(map[uint64]struct{})
	for _, b := range bmd.Buckets(nil) {
		alive[b.Props.BID] = struct{}{}
	}
	l.limiters.Range(func(key, _ any) bool {
		if k, ok := key.(rateKey); ok {
			if _, lives := alive[k.bid]; !lives {
				l.limiters.Delete(key)
			}
		}
		return true
	})
}
