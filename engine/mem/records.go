package mem

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// records are the store's, which guards them with its lock.
type records struct {
	kept     map[string]*record
	revision uint64
	watches  map[*watch]bool
	// next is when the first record ends, or before; zero if none does.
	next  time.Time
	onPut func(node int, key hub.Key) Outcome
}

// A record with its end, zero for none.
type record struct {
	hub.Record
	ends time.Time
}

// mark makes a map's key of a record's.
func mark(k hub.Key) string {
	var b []byte
	for _, level := range k {
		b = strconv.AppendInt(b, int64(len(level)), 10)
		b = append(append(b, ':'), level...)
	}
	return string(b)
}

var errRevision = earshot.Errorf(earshot.Conflict, "the record was changed meanwhile")

// A watch is told of changes in a prefix.
type watch struct {
	node    *Engine
	prefix  hub.Key
	changes []hub.Record
	wake    chan struct{}
}

// ask locks the store for a node that asks for records; unlock with the store's.
func (e *Engine) ask(keys ...hub.Key) error {
	for _, k := range keys {
		if err := k.Check(); err != nil && len(k) > 0 {
			return err
		}
	}
	e.store.mu.Lock()
	if e.cut || e.closed {
		e.store.mu.Unlock()
		return errLink
	}
	e.store.records.expire(time.Now())
	return nil
}

// Get reads a record; see hub.Records.
func (e *Engine) Get(_ context.Context, key hub.Key) (hub.Record, error) {
	if err := key.Check(); err != nil {
		return hub.Record{}, err
	}
	if err := e.ask(); err != nil {
		return hub.Record{}, err
	}
	defer e.store.mu.Unlock()
	if r := e.store.records.kept[mark(key)]; r != nil {
		return r.copy(), nil
	}
	return hub.Record{Key: slices.Clone(key)}, nil
}

func (r *record) copy() hub.Record {
	c := r.Record
	c.Key, c.Data = slices.Clone(c.Key), slices.Clone(c.Data)
	return c
}

// Put writes a record; see hub.Records.
func (e *Engine) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	if len(data) > hub.MaxRecord {
		return 0, earshot.Errorf(earshot.TooLarge, "a record of %d bytes", len(data))
	}
	var ends time.Time
	if ttl > 0 {
		ends = time.Now().Add((max(ttl, minTTL) + time.Second - 1).Truncate(time.Second))
	}
	return e.write(ctx, key, append([]byte{}, data...), revision, ends)
}

// Delete removes a record; see hub.Records.
func (e *Engine) Delete(ctx context.Context, key hub.Key, revision uint64) error {
	_, err := e.write(ctx, key, nil, revision, time.Time{})
	return err
}

// write changes a record, to nothing if data is nil, unless OnPut has it fail.
func (e *Engine) write(ctx context.Context, key hub.Key, data []byte, revision uint64, ends time.Time) (uint64, error) {
	if err := key.Check(); err != nil {
		return 0, err
	}
	if err := e.ask(); err != nil {
		return 0, err
	}
	var out Outcome
	s := &e.store.records
	if s.onPut != nil {
		out = s.onPut(e.index, key)
	}
	if out.Err == nil || earshot.CodeOf(out.Err) == earshot.Unknown {
		var err error
		if revision, err = s.write(key, data, revision, ends); err != nil {
			out.Err = err
		}
	}
	e.store.mu.Unlock()
	if out.Delay > 0 {
		if err := pause(ctx, out.Delay); err != nil {
			return 0, &earshot.Error{Code: earshot.Unknown, Text: "no answer came in time", Err: err}
		}
	}
	if out.Err != nil {
		return 0, out.Err
	}
	return revision, nil
}

func (s *records) write(key hub.Key, data []byte, revision uint64, ends time.Time) (uint64, error) {
	var has uint64
	r := s.kept[mark(key)]
	if r != nil {
		has = r.Revision
	}
	if revision != hub.AnyRevision && revision != has {
		return 0, errRevision
	}
	if r == nil && data == nil {
		return 0, nil
	}
	return s.change(key, data, ends), nil
}

// change makes a change and tells the watches.
func (s *records) change(key hub.Key, data []byte, ends time.Time) (revision uint64) {
	s.revision++
	r := &record{hub.Record{Key: slices.Clone(key), Data: data, Revision: s.revision, Time: time.Now()}, ends}
	if data == nil {
		delete(s.kept, mark(key))
	} else {
		if s.kept == nil {
			s.kept = map[string]*record{}
		}
		s.kept[mark(key)] = r
	}
	if !ends.IsZero() && (s.next.IsZero() || ends.Before(s.next)) {
		s.next = ends
	}
	for w := range s.watches {
		if key.In(w.prefix) {
			w.changes = append(w.changes, r.copy())
			w.signal()
		}
	}
	return r.Revision
}

// expire removes what has ended.
func (s *records) expire(now time.Time) {
	if s.next.IsZero() || now.Before(s.next) {
		return
	}
	s.next = time.Time{}
	var over []*record
	for _, r := range s.kept {
		switch {
		case r.ends.IsZero():
		case !now.Before(r.ends):
			over = append(over, r)
		case s.next.IsZero() || r.ends.Before(s.next):
			s.next = r.ends
		}
	}
	slices.SortFunc(over, func(a, b *record) int { return a.ends.Compare(b.ends) })
	for _, r := range over {
		s.change(r.Key, nil, time.Time{})
	}
}

func (w *watch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// listBytes bounds what a List returns.
const listBytes = 4 << 20

// List reads records in the order of their keys; see hub.Records.
func (e *Engine) List(_ context.Context, prefix, after hub.Key, limit int) (all []hub.Record, more bool, err error) {
	if err := e.ask(prefix); err != nil {
		return nil, false, err
	}
	defer e.store.mu.Unlock()
	var in []*record
	for _, r := range e.store.records.kept {
		if r.Key.In(prefix) && (after == nil || r.Key.Compare(after) > 0) {
			in = append(in, r)
		}
	}
	slices.SortFunc(in, func(a, b *record) int { return a.Key.Compare(b.Key) })
	bytes := 0
	for i, r := range in {
		if bytes += len(r.Data); i == limit || i > 0 && bytes > listBytes {
			return all, true, nil
		}
		all = append(all, r.copy())
	}
	return all, false, nil
}

// Watch tells of changes; see hub.Records.
func (e *Engine) Watch(ctx context.Context, prefix hub.Key, changed func([]hub.Record), synced func()) error {
	w := &watch{node: e, prefix: slices.Clone(prefix), wake: make(chan struct{}, 1)}
	if err := e.ask(prefix); err != nil {
		return err
	}
	s := &e.store.records
	if s.watches == nil {
		s.watches = map[*watch]bool{}
	}
	s.watches[w] = true
	var now []hub.Record
	for _, r := range s.kept {
		if r.Key.In(prefix) {
			now = append(now, r.copy())
		}
	}
	e.store.mu.Unlock()
	defer func() {
		e.store.mu.Lock()
		delete(s.watches, w)
		e.store.mu.Unlock()
	}()
	if len(now) > 0 {
		changed(now)
	}
	synced()
	return w.run(ctx, changed)
}

// run tells of what changes, until the context ends or the node is closed. Some
// watch looks when a record ends, whichever node it was written on.
func (w *watch) run(ctx context.Context, changed func([]hub.Record)) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		changes, next := w.take()
		if len(changes) > 0 && ctx.Err() == nil {
			changed(changes)
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.node.stop:
			return errLink
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// take returns what has to be told, none while the link is cut, and when the
// next record ends.
func (w *watch) take() (changes []hub.Record, next time.Duration) {
	store := w.node.store
	store.mu.Lock()
	defer store.mu.Unlock()
	now := time.Now()
	store.records.expire(now)
	if !w.node.cut {
		changes, w.changes = w.changes, nil
	}
	if store.records.next.IsZero() {
		return changes, time.Hour
	}
	return changes, store.records.next.Sub(now)
}
