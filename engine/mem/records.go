package mem

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// mark makes a map's key of a record's.
func mark(k hub.Key) string { return strings.Join(k, "\x00") }

var errRevision = earshot.Errorf(earshot.Conflict, "the record was changed meanwhile")

// A watch is told of changes below a prefix.
type watch struct {
	prefix  hub.Key
	changes []hub.Record
	wake    chan struct{}
}

// Get reads a record; see hub.Records.
func (e *Engine) Get(_ context.Context, key hub.Key) (hub.Record, error) {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.cut || e.closed {
		return hub.Record{}, errLink
	}
	if r := s.records[mark(key)]; r != nil {
		return *r, nil
	}
	return hub.Record{Key: key}, nil
}

// Put writes a record; see hub.Records.
func (e *Engine) Put(_ context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	if err := key.Check(); err != nil {
		return 0, err
	}
	if len(data) > hub.MaxRecord {
		return 0, earshot.Errorf(earshot.TooLarge, "a record of %d bytes", len(data))
	}
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := e.mayWrite(key, revision); err != nil {
		return 0, err
	}
	if s.records == nil {
		s.records = map[string]*hub.Record{}
	}
	if data == nil {
		data = []byte{}
	}
	r := s.change(key, slices.Clone(data))
	s.records[mark(key)] = &r
	if ttl > 0 {
		e.running.Go(func() { e.endRecord(r, max(ttl, minTTL)) })
	}
	return r.Revision, nil
}

// mayWrite checks the revision; the store is locked.
func (e *Engine) mayWrite(key hub.Key, revision uint64) error {
	if e.cut || e.closed {
		return errLink
	}
	var has uint64
	if r := e.store.records[mark(key)]; r != nil {
		has = r.Revision
	}
	if revision != hub.AnyRevision && revision != has {
		return errRevision
	}
	return nil
}

// change tells the watches of a record's new data, nil if it is gone.
func (s *Store) change(key hub.Key, data []byte) hub.Record {
	s.revision++
	r := hub.Record{Key: slices.Clone(key), Data: data, Revision: s.revision, Time: time.Now()}
	for w := range s.watches {
		if key.In(w.prefix) {
			w.changes = append(w.changes, r)
			w.signal()
		}
	}
	return r
}

func (w *watch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// endRecord removes a record when its time has come, unless it was changed.
func (e *Engine) endRecord(r hub.Record, in time.Duration) {
	timer := time.NewTimer(in)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.stop:
		return
	}
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.records[mark(r.Key)]; now != nil && now.Revision == r.Revision {
		delete(s.records, mark(r.Key))
		s.change(r.Key, nil)
	}
}

// Delete removes a record; see hub.Records.
func (e *Engine) Delete(_ context.Context, key hub.Key, revision uint64) error {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := e.mayWrite(key, revision); err != nil {
		return err
	}
	if s.records[mark(key)] != nil {
		delete(s.records, mark(key))
		s.change(key, nil)
	}
	return nil
}

// List reads records in the order of their keys; see hub.Records.
func (e *Engine) List(_ context.Context, prefix, after hub.Key, limit int) (records []hub.Record, more bool, err error) {
	s := e.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.cut || e.closed {
		return nil, false, errLink
	}
	for _, r := range s.records {
		if r.Key.In(prefix) && (after == nil || r.Key.Compare(after) > 0) {
			records = append(records, *r)
		}
	}
	slices.SortFunc(records, func(a, b hub.Record) int { return a.Key.Compare(b.Key) })
	if len(records) > limit {
		return records[:limit:limit], true, nil
	}
	return records, false, nil
}

// Watch tells of changes; see hub.Records.
func (e *Engine) Watch(ctx context.Context, prefix hub.Key, changed func([]hub.Record), synced func()) error {
	s := e.store
	w := &watch{prefix: slices.Clone(prefix), wake: make(chan struct{}, 1)}
	s.mu.Lock()
	if e.cut || e.closed {
		s.mu.Unlock()
		return errLink
	}
	if s.watches == nil {
		s.watches = map[*watch]bool{}
	}
	s.watches[w] = true
	for _, r := range s.records {
		if r.Key.In(prefix) {
			w.changes = append(w.changes, *r)
		}
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watches, w)
		s.mu.Unlock()
	}()
	e.tell(w, changed)
	synced()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-e.stop:
			return errLink
		case <-w.wake:
			e.tell(w, changed)
		}
	}
}

func (e *Engine) tell(w *watch, changed func([]hub.Record)) {
	e.store.mu.Lock()
	changes := w.changes
	if e.cut {
		changes = nil // until it is mended
	} else {
		w.changes = nil
	}
	e.store.mu.Unlock()
	if len(changes) > 0 {
		changed(changes)
	}
}
