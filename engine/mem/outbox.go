package mem

import (
	"context"
	"slices"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// entryWindow is how long the key of an entry is remembered.
const entryWindow = 2 * time.Minute

// A box is the store's outbox; the store's lock guards it.
type box struct {
	entries []hub.Entry
	keys    map[string]time.Time
	seq     uint64
	bytes   int
	fails   func(hub.Entry) error
}

var _ hub.Outbox = (*Engine)(nil)

// OnEvent lets f decide what becomes of each entry of the outbox; nil ends it.
// What f answers with Unknown is stored all the same. It is called with the
// store locked.
func (s *Store) OnEvent(f func(hub.Entry) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.box.fails = f
}

// PutEvent stores an entry; see hub.Outbox. Done is called before it returns.
func (e *Engine) PutEvent(entry hub.Entry, done func(error)) { done(e.putEvent(entry)) }

func (e *Engine) putEvent(entry hub.Entry) error {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.cut || e.closed {
		return errLink
	}
	var failed error
	if s.box.fails != nil {
		failed = s.box.fails(entry)
	}
	if failed != nil && earshot.CodeOf(failed) != earshot.Unknown {
		return failed
	}
	if err := s.box.add(entry, s); err != nil {
		return err
	}
	return failed
}

// add stores an entry unless its key was used.
func (b *box) add(entry hub.Entry, s *Store) error {
	now := time.Now()
	key := entry.App + "\x00" + entry.Key
	if at, ok := b.keys[key]; entry.Key != "" && ok && now.Sub(at) < entryWindow {
		return nil
	}
	b.expire(now, s.config.EventsKeep)
	if most := s.config.EventsBytes; most > 0 && b.bytes+len(entry.Data) > most {
		return earshot.Errorf(earshot.Full, "the outbox is full")
	}
	if b.keys == nil {
		b.keys = map[string]time.Time{}
	}
	if entry.Key != "" {
		b.keys[key] = now
	}
	b.seq++
	b.bytes += len(entry.Data)
	entry.Data = slices.Clone(entry.Data)
	entry.Position, entry.Time = earshot.Position{Epoch: s.epoch, Seq: b.seq}, now
	b.entries = append(b.entries, entry)
	return nil
}

func (b *box) expire(now time.Time, keep time.Duration) {
	if keep > 0 {
		b.remove(func(e *hub.Entry) bool { return now.Sub(e.Time) >= keep })
	}
}

func (b *box) remove(which func(*hub.Entry) bool) {
	b.entries = slices.DeleteFunc(b.entries, func(e hub.Entry) bool {
		if !which(&e) {
			return false
		}
		b.bytes -= len(e.Data)
		return true
	})
}

// ReadEvents returns entries of the outbox; see hub.Outbox.
func (e *Engine) ReadEvents(_ context.Context, app, line string, after earshot.Position, limit int) (p hub.EntryPage, err error) {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.cut || e.closed {
		return p, errLink
	}
	s.box.expire(time.Now(), s.config.EventsKeep)
	if !after.IsZero() && (after.Epoch != s.epoch || after.Seq > s.box.seq) {
		after, p.Gone = earshot.Position{}, true
	}
	for _, entry := range s.box.entries {
		if entry.App != app || line != "" && entry.Line != line || entry.Position.Seq <= after.Seq {
			continue
		}
		if len(p.Entries) == limit {
			p.More = true
			break
		}
		p.Entries = append(p.Entries, entry)
	}
	return p, nil
}

// DropEvents removes entries; see hub.Outbox.
func (e *Engine) DropEvents(_ context.Context, app string, upto earshot.Position) error {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.cut || e.closed {
		return errLink
	}
	if upto.Epoch == s.epoch {
		s.box.remove(func(e *hub.Entry) bool { return e.App == app && e.Position.Seq <= upto.Seq })
	}
	return nil
}

// Events tells how full the outbox is; see hub.Outbox.
func (e *Engine) Events(context.Context) (hub.OutboxState, error) {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.cut || e.closed {
		return hub.OutboxState{}, errLink
	}
	s.box.expire(time.Now(), s.config.EventsKeep)
	return hub.OutboxState{
		Bytes: uint64(s.box.bytes), Limit: uint64(s.config.EventsBytes), Entries: uint64(len(s.box.entries)),
		Newest: earshot.Position{Epoch: s.epoch, Seq: s.box.seq}, Keep: s.config.EventsKeep,
	}, nil
}
