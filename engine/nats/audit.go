package nats

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/earshot-io/earshot/hub"
)

// audits know which sequences have arrived, to find what did not: a leader that
// changes, a connection that is lost or a subscription that overruns lets
// stored messages get lost on their way to this node.
type audits struct {
	mu sync.Mutex
	// floor is the sequence up to which everything was seen; spans are what was
	// seen above it, in order and apart from each other.
	floor uint64
	spans []span
}

// A span is a range of sequences, both ends included.
type span struct{ lo, hi uint64 }

// saw makes a note of a sequence that arrived.
func (a *audits) saw(seq uint64) { a.sawAll(span{seq, seq}) }

func (a *audits) sawAll(s span) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.hi <= a.floor {
		return
	}
	i := len(a.spans)
	for i > 0 && a.spans[i-1].hi+1 >= s.lo {
		i--
	}
	j := i
	for j < len(a.spans) && a.spans[j].lo <= s.hi+1 {
		s.lo, s.hi = min(s.lo, a.spans[j].lo), max(s.hi, a.spans[j].hi)
		j++
	}
	if s.lo <= a.floor+1 {
		a.floor = s.hi
		a.spans = append(a.spans[:0], a.spans[j:]...)
		return
	}
	if i == j {
		a.spans = append(a.spans, span{})
		copy(a.spans[i+1:], a.spans[i:])
	} else {
		a.spans = append(a.spans[:i+1], a.spans[j:]...)
	}
	a.spans[i] = s
}

// missing returns what has not arrived up to a sequence.
func (a *audits) missing(upto uint64) (all []span) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := a.floor + 1
	for _, s := range a.spans {
		if s.lo > upto {
			break
		}
		if next < s.lo {
			all = append(all, span{next, s.lo - 1})
		}
		next = s.hi + 1
	}
	if next <= upto {
		all = append(all, span{next, upto})
	}
	return all
}

// reset says that everything up to a sequence was seen, and nothing above.
func (a *audits) reset(floor uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.floor, a.spans = floor, nil
}

// back says that what is from lowest on was seen in vain; 0 for nothing.
func (a *audits) back(lowest uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if lowest > 0 {
		a.floor = min(a.floor, lowest-1)
	}
	a.spans = nil
}

// wantAudit asks for an audit now; prove says that interest has to be proven
// before, as after a reconnect.
func (e *Engine) wantAudit(prove bool) {
	for {
		select {
		case e.audit <- prove:
			return
		default:
		}
		// One is asked for already; it must not prove less.
		select {
		case before := <-e.audit:
			prove = prove || before
		default:
		}
	}
}

const (
	// auditGrace is how long what is stored may be on its way.
	auditGrace = 300 * time.Millisecond
	auditTime  = 30 * time.Second
)

// runAudit looks for what did not arrive: when asked to, and regularly.
func (e *Engine) runAudit() {
	ticker := time.NewTicker(e.config.AuditEvery)
	defer ticker.Stop()
	for {
		prove := false
		select {
		case <-e.ctx.Done():
			return
		case prove = <-e.audit:
		case <-ticker.C:
		}
		if err := e.auditOnce(prove); err != nil && e.ctx.Err() == nil {
			e.log.Warn("looking for missed messages", "err", err)
			e.pause(readAgain)
			if e.link.Load() != nil {
				e.pause(auditGrace)
				e.wantAudit(prove)
			}
		}
	}
}

// auditOnce delivers what is stored up to now and has not arrived.
func (e *Engine) auditOnce(prove bool) error {
	l := e.link.Load()
	if l == nil || !l.conn.IsConnected() {
		return nil // the next connection asks for an audit
	}
	ctx, cancel := context.WithTimeout(e.ctx, auditTime)
	defer cancel()
	if prove {
		if err := e.proveAll(ctx, l); err != nil {
			return err
		}
	}
	if !e.config.embedded() {
		if err := e.beginLife(ctx, l); err != nil {
			return err
		}
	}
	info, err := l.log.Info(ctx)
	if err != nil {
		return err
	}
	last := info.State.LastSeq
	e.raise(last)
	e.stats.audits.Add(1)
	if len(e.audits.missing(last)) == 0 {
		return nil
	}
	if err := wait(ctx, auditGrace); err != nil {
		return err
	}
	for _, s := range e.audits.missing(last) {
		if err := e.redeliver(ctx, l, s); err != nil {
			return err
		}
	}
	return nil
}

// proveAll proves each bucket that is heard.
func (e *Engine) proveAll(ctx context.Context, l *link) error {
	numbers := []int{0}
	if e.config.Buckets > 1 {
		numbers = e.heard.numbers()
	}
	for _, n := range numbers {
		if _, err := e.probe(ctx, l, n); err != nil {
			return err
		}
	}
	return nil
}

// redeliver reads a range from the log and delivers what is of a heard bucket.
func (e *Engine) redeliver(ctx context.Context, l *link, s span) error {
	for from := s.lo; from <= s.hi; {
		ms, _, err := l.direct(ctx, spaceStored+".>", from, batchMost)
		if err != nil {
			return err
		}
		if len(ms) == 0 {
			// The end, or a replica that has not come so far.
			next, ok, err := l.atLeader(ctx, from, spaceStored+".>")
			if err != nil {
				return err
			}
			if !ok || next.seq > s.hi {
				break
			}
			ms = []stored{next}
		}
		for _, m := range ms {
			if m.seq > s.hi {
				break
			}
			e.late(m)
		}
		e.audits.sawAll(span{from, min(ms[len(ms)-1].seq, s.hi)})
		from = ms[len(ms)-1].seq + 1
	}
	e.audits.sawAll(s)
	return nil
}

// late delivers a message that did not arrive by itself.
func (e *Engine) late(s stored) {
	if strings.HasPrefix(s.subject, spaceStored+"."+appProbe+".") {
		return
	}
	m, v, err := e.message(s)
	if err != nil {
		if !errors.Is(err, errSubject) {
			e.stats.malformed.Add(1)
		}
		return
	}
	if !e.heard.hears(e.config.Buckets, m.App, m.Channel) {
		return
	}
	e.ledger.count(m.App, m.Channel, s.seq)
	e.stats.redelivered.Add(1)
	e.deliver(hub.Delivery{Message: m}, v.Early)
}

// hears reports whether the node hears a channel's bucket.
func (h *heard) hears(buckets int, app, channel string) bool {
	if buckets == 1 {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buckets[bucket(app, channel, buckets)] != nil
}
