package mem

import (
	"context"
	"slices"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// pageLimit is how many messages a page holds if the reader does not say.
const pageLimit = 1000

// Read returns stored messages of one channel; see hub.Log.
func (e *Engine) Read(ctx context.Context, app, channel string, r hub.Range) (hub.Page, error) {
	e.store.mu.Lock()
	slow := e.store.slowRead
	e.store.mu.Unlock()
	if err := pause(ctx, slow); err != nil {
		return hub.Page{}, err
	}
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	if e.cut || e.closed {
		return hub.Page{}, errLink
	}
	if r.AtLeast > e.store.seq {
		return hub.Page{}, earshot.Errorf(earshot.Unavailable, "the log has not come as far as that")
	}
	l := e.store.logs[name{app, channel}]
	if l == nil {
		l = &log{}
	}
	l.expire(time.Now())
	return e.store.page(l, r), nil
}

// page answers a read; the store is locked.
func (s *Store) page(l *log, r hub.Range) hub.Page {
	after := r.After.Seq
	if r.After.Epoch != s.epoch {
		after = 0
	}
	end := s.seq - min(s.lag, s.seq)
	end = max(end, r.AtLeast, min(after, s.seq))
	p := hub.Page{Exact: s.exact(l, r.After)}
	var in []*earshot.Message
	for i := range l.entries {
		m := l.entries[i].m
		if seq := m.ID.Position().Seq; seq > after && seq <= end && s.shows(m, &r) {
			in = append(in, m)
		}
	}
	if r.Reverse {
		slices.Reverse(in)
	}
	n := fits(in, &r)
	p.Messages, p.More = in[:n:n], n < len(in)
	switch {
	case r.Reverse:
	case p.More:
		p.Upto = in[n-1].ID.Position().Seq
	default:
		p.Upto = end
	}
	return p
}

// shows reports whether a reader of r is shown m, bounds by number aside.
func (s *Store) shows(m *earshot.Message, r *hub.Range) bool {
	switch {
	case m.Store == 0 && !r.Hidden:
		return false
	case m.Time.Before(r.Since):
		return false
	case r.Before.IsZero():
		return true
	case r.Before.Epoch != s.epoch:
		return r.Before.Epoch > s.epoch
	}
	return m.ID.Position().Seq < r.Before.Seq
}

// fits returns how many of the messages fit into the page.
func fits(in []*earshot.Message, r *hub.Range) int {
	limit, bytes := pageLimit, 0
	if r.Limit > 0 {
		limit = min(limit, r.Limit)
	}
	for i, m := range in {
		bytes += len(m.Data) + len(m.Event)
		if i >= limit || i > 0 && r.Bytes > 0 && bytes > r.Bytes {
			return i
		}
	}
	return len(in)
}

// exact reports whether all after a position is there, but what has expired.
func (s *Store) exact(l *log, after earshot.Position) bool {
	switch {
	case !after.IsZero() && (after.Epoch != s.epoch || after.Seq > s.seq):
		return false
	case after.Seq == 0:
		return l.removed == 0
	}
	return l.removed < after.Seq
}

// pause waits for d, or until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
