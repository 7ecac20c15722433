package gateway

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/earshot-io/earshot"
)

// Throttles are the token buckets of a node (12). They may be used concurrently.
// They outlive a change of the settings: what was used stays used.
type Throttles struct {
	mu      sync.Mutex
	buckets map[bucketName]*bucket
	sweepAt int
}

type bucketName struct{ api, stage, key string }

type bucket struct {
	limiter *rate.Limiter
	set     earshot.GatewayThrottle
}

// minSweep is how many buckets there are before full ones are looked for, which
// are as good as none.
const minSweep = 1024

// NewThrottles makes buckets, all of them full.
func NewThrottles() *Throttles {
	return &Throttles{buckets: map[bucketName]*bucket{}, sweepAt: minSweep}
}

// Allow takes a token of the stage's for a route key, and reports whether there
// was one. Every key has a bucket of its own; without a limit there is always one.
func (t *Throttles) Allow(s *Stage, key string, now time.Time) bool {
	limit := s.throttle(key)
	if r := s.routes[key]; r != nil {
		limit = r.Throttle
	}
	return t.take(bucketName{s.API.ID, s.Name, key}, limit, now)
}

// AllowKey takes a token of an API key's usage plan, which all stages share.
func (t *Throttles) AllowKey(a *API, k *earshot.GatewayKey, now time.Time) bool {
	return t.take(bucketName{a.ID, "/key", k.ID}, k.Throttle, now)
}

func (t *Throttles) take(name bucketName, set earshot.GatewayThrottle, now time.Time) bool {
	if set.Rate <= 0 {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buckets[name]
	if b == nil {
		t.sweep(now)
		b = &bucket{rate.NewLimiter(rate.Limit(set.Rate), burst(set)), set}
		t.buckets[name] = b
	}
	if b.set != set {
		b.limiter.SetLimitAt(now, rate.Limit(set.Rate))
		b.limiter.SetBurstAt(now, burst(set))
		b.set = set
	}
	return b.limiter.AllowN(now, 1)
}

// burst is what may come at once; by default what comes in a second.
func burst(t earshot.GatewayThrottle) int {
	if t.Burst > 0 {
		return t.Burst
	}
	return int(math.Ceil(min(t.Rate, math.MaxInt32)))
}

// sweep forgets full buckets, whenever there are twice as many as were left.
func (t *Throttles) sweep(now time.Time) {
	if len(t.buckets) < t.sweepAt {
		return
	}
	for name, b := range t.buckets {
		if b.limiter.TokensAt(now) >= float64(b.limiter.Burst()) {
			delete(t.buckets, name)
		}
	}
	t.sweepAt = max(minSweep, 2*len(t.buckets))
}
