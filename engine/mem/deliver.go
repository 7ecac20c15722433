package mem

import (
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// republish sends a stored message to this node, if it hears the channel and
// the message meets no other fate. The store is locked.
func (e *Engine) republish(d hub.Delivery) {
	if !e.started || e.cut || !e.hears(d.Message) {
		return
	}
	var fate Fate
	if e.store.onRepublish != nil {
		fate = e.store.onRepublish(e.index, d.Message)
	}
	if fate.Lost {
		return
	}
	e.arrived(d.Message)
	again := e.again
	e.again = nil
	if fate.Twice {
		e.again = append(e.again, d)
	}
	e.queue(d, fate.Late)
	for _, d := range again {
		e.queue(d, 0)
	}
}

// arrived makes a note of what the audit need not deliver.
func (e *Engine) arrived(m *earshot.Message) {
	if e.got == nil {
		e.got = map[uint64]bool{}
	}
	e.got[m.ID.Position().Seq] = true
}

func (e *Engine) queue(d hub.Delivery, late time.Duration) {
	e.outbox = append(e.outbox, arrival{d, time.Now().Add(late)})
	e.signal()
}

func (e *Engine) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// audit queues what is stored and heard, but has not come. The store is locked.
func (e *Engine) audit() {
	if e.cut || !e.started {
		return
	}
	for _, m := range e.store.missed(e.audited+1, e.store.seq) {
		if !e.got[m.ID.Position().Seq] && e.hears(m) {
			e.queue(hub.Delivery{Message: m}, 0)
		}
	}
	e.audited = e.store.seq
	clear(e.got)
}

// deliver is the node's goroutine.
func (e *Engine) deliver() {
	audit := time.NewTicker(e.store.config.AuditEvery)
	defer audit.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-audit.C:
			e.store.mu.Lock()
			e.audit()
			e.store.mu.Unlock()
		case <-e.wake:
		case <-timer.C:
		}
		ds, told, next := e.take(time.Now())
		timer.Reset(next)
		if len(ds) > 0 {
			e.sink.Deliver(ds)
		}
		for _, t := range told {
			e.sink.Told(t)
		}
	}
}

// take removes what has come, and says when to look again.
func (e *Engine) take(now time.Time) (ds []hub.Delivery, told [][]byte, next time.Duration) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	next = time.Hour
	var later []arrival
	for _, a := range e.outbox {
		if wait := a.at.Sub(now); wait > 0 {
			later = append(later, a)
			next = min(next, wait)
			continue
		}
		ds = append(ds, a.Delivery)
	}
	e.outbox, told, e.told = later, e.told, nil
	return ds, told, next
}
