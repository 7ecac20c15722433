package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// cached names a verified token: by all of its bytes, signature included, by the
// key that verified it, which is of one app and one version, and by who read it.
type cached struct {
	key    *key
	reader *Reader
	sum    [sha256.Size]byte
}

type cacheEntry struct {
	token *Token
	until time.Time
}

// A cache remembers verified tokens. It holds two generations: when the young
// one is full or old, it becomes the old one, and the old one is forgotten.
// The zero cache is ready.
type cache struct {
	mu         sync.Mutex
	young, old map[cached]cacheEntry
	born       time.Time
}

func (c *cache) get(name cached, now time.Time) *Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.young[name]
	if !ok {
		e, ok = c.old[name]
	}
	if !ok || !now.Before(e.until) {
		return nil
	}
	c.add(name, e, now)
	return e.token
}

func (c *cache) put(name cached, t *Token, now time.Time) {
	until := now.Add(cacheFor)
	if t.Expires.Before(until) {
		until = t.Expires
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(name, cacheEntry{t, until}, now)
}

// add puts an entry into the young generation; the cache is locked.
func (c *cache) add(name cached, e cacheEntry, now time.Time) {
	if len(c.young) >= cacheTokens || now.Sub(c.born) >= cacheFor {
		c.old, c.young, c.born = c.young, nil, now
	}
	if c.young == nil {
		c.young = map[cached]cacheEntry{}
	}
	c.young[name] = e
}
