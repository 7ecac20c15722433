package entry

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A Waker remembers to call Store.Expire.
type Waker interface {
	// Wake has Expire called with data at a time or soon after it, on any node, as
	// often as it fails. What was asked for before under the same id is forgotten.
	// It returns when that is as durable as a record.
	Wake(ctx context.Context, a *earshot.App, id string, at time.Time, data []byte) error
}

// A Store writes and reads entries. Its methods may be called concurrently, on
// all nodes.
type Store struct {
	hub     *hub.Hub
	records hub.Records
	waker   Waker
	seed    maphash.Seed
	// lines let the writers of one key on this node wait for each other, rather
	// than find out that they were not the first.
	lines [lines]chan struct{}
}

const (
	lines = 256
	// writeTime bounds a write that has begun: no notice may come much later than
	// its record.
	writeTime = 10 * time.Second
	// tries is how often a write begins again when other nodes were faster, and
	// pause how long it waits before that at the most.
	tries = 50
	pause = 10 * time.Millisecond
)

// New makes a store on the engine's records. Without a waker (nil) expiries are
// no events.
func New(h *hub.Hub, records hub.Records, waker Waker) *Store {
	s := &Store{hub: h, records: records, waker: waker, seed: maphash.MakeSeed()}
	for i := range s.lines {
		s.lines[i] = make(chan struct{}, 1)
	}
	return s
}

// Set writes an entry. It returns when the value is as durable as an
// acknowledged message, its notice is published and its event recorded. changed
// is false if the value was equal to the one before. What the caller may is the
// caller's concern; see Permit.
//
// It fails with Invalid, TooLarge, Limited (other writers were always faster), or
// as the engine does. After Unknown the write may have been done; it can be
// repeated. A write that has begun is not cut short when ctx ends: who has
// written and gone has written, and observers hear of it.
func (s *Store) Set(ctx context.Context, a *earshot.App, w Write) (changed bool, err error) {
	if err := w.check(); err != nil {
		return false, err
	}
	if clears(w.Data) {
		w.Data = nil
	}
	leave, err := s.enter(ctx, a.Slug, w.Channel, w.Key)
	if err != nil {
		return false, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	for range tries {
		changed, err = s.set(ctx, a, &w)
		if code := earshot.CodeOf(err); err == nil || code != earshot.Conflict {
			return changed, err
		}
		if err := rest(ctx, rand.N(pause)); err != nil {
			return false, err
		}
	}
	return false, &earshot.Error{Code: earshot.Limited, Reason: "STORAGE_BUSY", Text: "too many write this entry at once", RetryAfter: time.Second}
}

// rest waits.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &earshot.Error{Code: earshot.Unknown, Text: "the write took too long; repeat it", Err: context.Cause(ctx)}
	}
}

// enter waits for the turn to write a key.
func (s *Store) enter(ctx context.Context, app, channel, key string) (leave func(), err error) {
	line := s.lines[maphash.String(s.seed, app+"\x00"+channel+"\x00"+key)%lines]
	select {
	case line <- struct{}{}:
		return func() { <-line }, nil
	case <-ctx.Done():
		return nil, &earshot.Error{Code: earshot.Unavailable, Text: "the write was given up before it began", Err: context.Cause(ctx)}
	}
}

// set tries once; it fails with Conflict if the record changed meanwhile.
func (s *Store) set(ctx context.Context, a *earshot.App, w *Write) (changed bool, err error) {
	now := time.Now()
	at := record(a.Slug, w.Channel, w.Key)
	r, err := s.records.Get(ctx, at)
	if err != nil {
		return false, err
	}
	old, err := read(r)
	if err != nil {
		return false, err
	}
	if old.expired(now) && old.Emit {
		if err := s.expire(ctx, a, w.Channel, w.Key, &old, r.Revision); err != nil {
			return false, err
		}
		return false, errChanged
	}
	if old.did(w, now) {
		return false, s.repeated(ctx, a, w, old, now)
	}
	if w.Data == nil && !old.live(now) || w.Data != nil && old.live(now) && Equal(old.Data, w.Data) {
		return false, s.renew(ctx, a, w, r.Revision, old)
	}
	k := w.keep(now)
	k.Done = old.doing(w, now)
	if old.live(now) && w.Emit {
		k.Previous = old.Data
	}
	if k.Revision, err = s.put(ctx, at, &k, r.Revision, now); err != nil {
		return false, err
	}
	if err := s.wake(ctx, a, w.Channel, w.Key, k, k.Revision); err != nil {
		return false, unfinished(err)
	}
	return true, unfinished(s.announce(ctx, a, w, &k))
}

// keep is what a write leaves in the record.
func (w *Write) keep(now time.Time) kept {
	k := kept{Data: w.Data, Emit: w.Emit}
	if from := w.Sender; from != nil {
		k.Client, k.UID, k.HasUID, k.Meta = true, from.UID, from.HasUID, from.Meta
	}
	if w.Data != nil && w.Store != earshot.Forever {
		k.Expires = now.Add(w.Store).UnixMilli()
	}
	return k
}

func (s *Store) put(ctx context.Context, at hub.Key, k *kept, revision uint64, now time.Time) (uint64, error) {
	data, err := cbor.Marshal(k)
	if err != nil {
		return 0, err
	}
	revision, err = s.records.Put(ctx, at, data, revision, k.ttl(now))
	if earshot.CodeOf(err) == earshot.Unknown && err != nil {
		// It may be in the record: whoever looks again will see.
		return 0, &earshot.Error{Code: earshot.Conflict, Err: err}
	}
	return revision, err
}

// renew is a write of a value that is there already: it stays from now on for as
// long as the write says.
func (s *Store) renew(ctx context.Context, a *earshot.App, w *Write, revision uint64, k kept) error {
	now := time.Now()
	if w.Data == nil {
		k.Data, k.Expires, k.Quiet = nil, 0, k.Revision == 0
	}
	if err := s.repeated(ctx, a, w, k, now); err != nil {
		return err
	}
	expires := w.keep(now).Expires
	if expires == k.Expires && w.Once == "" {
		return nil
	}
	k.Expires, k.Done = expires, k.doing(w, now)
	revision, err := s.put(ctx, record(a.Slug, w.Channel, w.Key), &k, revision, now)
	if err != nil {
		return err
	}
	return unfinished(s.wake(ctx, a, w.Channel, w.Key, k, revision))
}

// repeated does for who wrote what is there what he may not have come to do.
func (s *Store) repeated(ctx context.Context, a *earshot.App, w *Write, k kept, now time.Time) error {
	if k.Revision == 0 || k.expired(now) || now.Sub(time.UnixMilli(k.Written)) >= repeat {
		return nil
	}
	return unfinished(s.announce(ctx, a, w, &k))
}

// announce tells observers, and records the event if one is to be.
func (s *Store) announce(ctx context.Context, a *earshot.App, w *Write, k *kept) error {
	m := &earshot.Message{Channel: w.Channel, Notice: earshot.EntryChanged, Key: w.Key, Kind: earshot.JSON, Data: k.Data, Sender: k.sender()}
	if k.Data == nil {
		m.Data = []byte("null")
	}
	e := &hub.Event{Type: hub.EntryChanged, Entry: &hub.EventEntry{Previous: k.Previous, Expires: k.expires()}}
	return s.hub.Announce(ctx, a, hub.Publication{Message: m, Emit: k.Emit, Event: e, Origin: w.Origin}, k.Revision)
}

// errChanged begins a write again.
var errChanged = earshot.Errorf(earshot.Conflict, "the entry has changed")

// unfinished is why a write fails that is in the record already.
func unfinished(err error) error {
	if err == nil {
		return nil
	}
	return &earshot.Error{Code: earshot.Unknown, Text: "the entry was written, but not everybody was told; repeat the write", Err: err}
}
