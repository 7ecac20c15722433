package hub

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/fxamacker/cbor/v2"
)

// A Selection says which connections are meant: those of an app to which all
// that is set applies.
type Selection struct {
	App string `cbor:"1,keyasint"`
	// Conn names one connection; zero means any.
	Conn earshot.ConnID `cbor:"2,keyasint"`
	// UID means the connections of one user; nil means any.
	UID *string `cbor:"3,keyasint"`
}

func (s *Selection) matches(c *Conn) bool {
	a, id := c.App(), c.Identity()
	switch {
	case a == nil || a.Slug != s.App:
		return false
	case !s.Conn.IsZero() && s.Conn != c.id:
		return false
	case s.UID != nil && (id == nil || !id.HasUID || id.UID != *s.UID):
		return false
	}
	return true
}

// Kick closes connections on every node, as Kicked. It returns how many it
// closed on this one; the others have been told, no more.
func (h *Hub) Kick(s Selection) (closed int, err error) {
	data, err := cbor.Marshal(control{Kick: &s})
	if err != nil {
		return 0, err
	}
	err = h.engine.Tell("", data)
	return h.kick(&s), err
}

func (h *Hub) kick(s *Selection) (closed int) {
	conns := h.conns()
	if !s.Conn.IsZero() {
		conns = nil
		if c := h.Conn(s.Conn); c != nil {
			conns = []*Conn{c}
		}
	}
	for _, c := range conns {
		if s.matches(c) {
			c.Close(&earshot.Error{Code: earshot.Kicked, Text: "the connection was closed by an administrator"})
			closed++
		}
	}
	return closed
}

// Drain accepts no new connections and closes all, as Shutdown: one after
// another over the given time, so that their clients do not all come back at
// once. It returns when each was told, or the context ends.
func (h *Hub) Drain(ctx context.Context, over time.Duration) error {
	h.draining.Store(true)
	conns := h.conns()
	if len(conns) == 0 {
		return nil
	}
	// Ids are random, so their order is one that nobody can choose.
	const steps = 256
	buckets := make([][]*Conn, steps)
	for _, c := range conns {
		i := binary.BigEndian.Uint16(c.id[:]) % steps
		buckets[i] = append(buckets[i], c)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	told := 0
	for _, bucket := range buckets {
		for _, c := range bucket {
			c.Close(&earshot.Error{Code: earshot.Shutdown, Text: "the server is shutting down"})
		}
		if told += len(bucket); told == len(conns) {
			return nil
		}
		timer.Reset(over / steps)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// raise sets a to v if that is higher.
func raise(a *atomic.Uint64, v uint64) {
	for old := a.Load(); v > old; old = a.Load() {
		if a.CompareAndSwap(old, v) {
			return
		}
	}
}
