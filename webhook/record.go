package webhook

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/oklog/ulid/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// An item is an event as the outbox has it.
type item struct {
	// ID is the webhook-id.
	ID   string        `cbor:"1,keyasint"`
	Type hub.EventType `cbor:"2,keyasint"`
	// Message is the id of the message that the event is of; empty for none.
	Message []byte `cbor:"3,keyasint,omitempty"`
	// Node recorded it as its Nth.
	Node string `cbor:"4,keyasint,omitempty"`
	N    uint64 `cbor:"5,keyasint,omitempty"`
	// To is the one webhook that is to be told, of an event that is replayed.
	To   string `cbor:"6,keyasint,omitempty"`
	Body []byte `cbor:"7,keyasint"`
}

// A record is an event that waits to be put into the outbox.
type record struct {
	entry hub.Entry
	done  func(error) // nil if nobody waits
	err   error       // of the last try
}

// maxQueue bounds what waits in memory to be recorded, in bytes, and maxTogether
// how many events are put at once.
const (
	maxQueue    = 64 << 20
	maxTogether = 512
)

// queue holds the events that are not in the outbox yet.
type queue struct {
	n    atomic.Uint64 // the number of the last event
	more chan struct{}
	over chan struct{} // closed when the writer has ended
	most int           // bytes

	mu      sync.Mutex
	records []*record
	bytes   int
	writing bool  // the writer has begun
	ending  bool  // nothing more is taken
	failing error // why the last try failed
	grumble time.Time
}

func (q *queue) init() {
	q.more, q.over, q.most = make(chan struct{}, 1), make(chan struct{}), maxQueue
}

var (
	errQueue  = &earshot.Error{Code: earshot.Limited, Text: "too many events are being recorded", RetryAfter: time.Second}
	errEnding = earshot.Errorf(earshot.Shutdown, "the server is stopping")
)

// Record keeps an event; see hub.Recorder.
func (s *Events) Record(e *hub.Event, done func(error)) {
	entry, err := s.seal(e)
	if err == nil {
		err = s.queue.put(&record{entry: entry, done: done})
	}
	if err != nil {
		s.refuse(&record{done: done}, err)
	}
}

// refuse tells that an event is not recorded.
func (s *Events) refuse(r *record, err error) {
	if r.done != nil {
		s.stats.refused.Add(1)
		r.done(err)
		return
	}
	s.stats.lost.Add(1)
	if s.queue.grumbles() {
		s.log.Error("events are lost: they could not be recorded", "lost so far", s.stats.lost.Load(), "err", err)
	}
}

// grumbles reports whether it is time to complain again.
func (q *queue) grumbles() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.grumble) < 10*time.Second {
		return false
	}
	q.grumble = time.Now()
	return true
}

// seal makes the entry of an event. One that is of a message always has the same
// id, so that it counts once however often it is recorded.
func (s *Events) seal(e *hub.Event) (hub.Entry, error) {
	v := item{Type: e.Type, Node: s.store.Node(), N: s.queue.n.Add(1)}
	entry := hub.Entry{App: e.App, Line: lineOf(e)}
	if m := e.Message; m != nil && !m.ID.IsZero() {
		v.Message = m.ID[:]
		v.ID = "evt_" + m.ID.String()
	} else {
		v.ID = "evt_" + ulid.Make().String()
	}
	entry.Key = v.ID
	var err error
	if v.Body, err = render(e, v.ID); err != nil {
		return entry, err
	}
	entry.Data, err = cbor.Marshal(&v)
	return entry, err
}

// lineOf names what an event keeps its order with: its channel, or else its
// connection.
func lineOf(e *hub.Event) string {
	switch {
	case e.Channel != "":
		return "#" + e.Channel
	case e.Conn != nil:
		return "@" + e.Conn.ID.String()
	}
	return "."
}

func (q *queue) put(r *record) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.ending:
		return errEnding
	case q.failing != nil && r.done != nil:
		return q.failing // who waits had better know at once
	case q.bytes+len(r.entry.Data) > q.most:
		return errQueue
	}
	q.records = append(q.records, r)
	q.bytes += len(r.entry.Data)
	q.signal()
	return nil
}

func (q *queue) signal() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// take returns the oldest events; over says that none will come any more.
func (q *queue) take() (rs []*record, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.records), maxTogether)
	rs = q.records[:n:n]
	if q.records = q.records[n:]; len(q.records) == 0 {
		q.records = nil
	} else {
		q.signal()
	}
	for _, r := range rs {
		q.bytes -= len(r.entry.Data)
	}
	return rs, q.ending && n == 0
}

func (q *queue) fails(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failing = err
}

// end takes nothing more, and waits until all is recorded or the context ends.
func (q *queue) end(ctx context.Context) {
	q.mu.Lock()
	q.ending = true
	writing := q.writing
	q.signal()
	q.mu.Unlock()
	if !writing {
		return
	}
	select {
	case <-q.over:
	case <-ctx.Done():
	}
}

// write puts events into the outbox, those that came together together.
func (s *Events) write() {
	q := &s.queue
	q.mu.Lock()
	q.writing = true
	q.mu.Unlock()
	defer close(q.over)
	for {
		select {
		case <-q.more:
		case <-s.ctx.Done():
		}
		rs, over := q.take()
		if over {
			return
		}
		s.putAll(rs)
		if s.ctx.Err() != nil && len(rs) == 0 {
			return
		}
	}
}

// retryPut is when events that nobody waits for are put again.
const retryPut = 250 * time.Millisecond

// putAll puts events, and those that nobody waits for until it succeeds: what
// comes behind waits, so that no order is lost.
func (s *Events) putAll(rs []*record) {
	for len(rs) > 0 {
		s.putOnce(rs)
		var again []*record
		var failed error
		for _, r := range rs {
			switch {
			case r.err == nil:
				s.stats.recorded.Add(1)
			case r.done == nil && s.ctx.Err() == nil && earshot.CodeOf(r.err).Temporary():
				again, failed = append(again, r), r.err
				continue
			default:
				s.refuse(r, r.err)
				continue
			}
			if r.done != nil {
				r.done(nil)
			}
		}
		s.queue.fails(failed)
		if failed != nil && s.queue.grumbles() {
			s.log.Error("events cannot be recorded, and wait", "err", failed)
		}
		if len(again) < len(rs) {
			s.news.tell()
		}
		if rs = again; len(rs) > 0 {
			pause(s.ctx, retryPut)
		}
	}
}

// putOnce puts events and waits for all outcomes.
func (s *Events) putOnce(rs []*record) {
	var all sync.WaitGroup
	all.Add(len(rs))
	for _, r := range rs {
		s.store.PutEvent(r.entry, func(err error) {
			r.err = err
			all.Done()
		})
	}
	all.Wait()
	for _, r := range rs {
		if r.err != nil && earshot.CodeOf(r.err) == earshot.Full {
			s.tellFull()
			return
		}
	}
}

// tellFull has room made now, if this is the node that makes it.
func (s *Events) tellFull() {
	select {
	case s.full <- struct{}{}:
	default:
	}
}
