package entry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A place is where an entry is, as a Waker keeps it.
type place struct {
	Channel string `cbor:"1,keyasint"`
	Key     string `cbor:"2,keyasint"`
}

// id names an entry's expiry within its app.
func (p place) id() string {
	sum := sha256.Sum256([]byte(p.Channel + "\x00" + p.Key))
	return "~entry-" + hex.EncodeToString(sum[:16])
}

// wake asks to be called when an entry expires whose expiry is an event. Of
// several writers at once, the last one to ask may not be the one whose value is
// there; so each looks again afterwards.
func (s *Store) wake(ctx context.Context, a *earshot.App, channel, key string, k kept, revision uint64) error {
	at := place{channel, key}
	for s.waker != nil && k.Emit && k.Expires != 0 {
		data, err := cbor.Marshal(at)
		if err != nil {
			return err
		}
		if err := s.waker.Wake(ctx, a, at.id(), k.expires(), data); err != nil {
			return err
		}
		r, err := s.records.Get(ctx, record(a.Slug, channel, key))
		if err != nil || r.Revision == revision {
			return err
		}
		revision = r.Revision
		if k, err = read(r); err != nil {
			return err
		}
	}
	return nil
}

// Expire is called by a Waker with what it was given. It records the expiry of
// an entry, and removes it; if the entry is to stay longer now, it asks to be
// called again. It fails as the engine does, or with Unavailable while others
// write the entry, and is to be called again then.
func (s *Store) Expire(ctx context.Context, a *earshot.App, data []byte) error {
	var at place
	if err := cbor.Unmarshal(data, &at); err != nil {
		return earshot.Errorf(earshot.Invalid, "not the place of an entry: %v", err)
	}
	leave, err := s.enter(ctx, a.Slug, at.Channel, at.Key)
	if err != nil {
		return err
	}
	defer leave()
	for range tries {
		err := s.end(ctx, a, at)
		if err == nil || earshot.CodeOf(err) != earshot.Conflict {
			return err
		}
	}
	return earshot.Errorf(earshot.Unavailable, "the entry that expires is being written")
}

// end tries once; it fails with Conflict if somebody wrote meanwhile.
func (s *Store) end(ctx context.Context, a *earshot.App, at place) error {
	r, err := s.records.Get(ctx, record(a.Slug, at.Channel, at.Key))
	if err != nil {
		return err
	}
	k, err := read(r)
	switch {
	case err != nil:
		return err
	case k.Data == nil || k.Expires == 0:
		return nil
	case !k.expired(time.Now()):
		return s.wake(ctx, a, at.Channel, at.Key, k, r.Revision)
	case !k.Emit:
		return nil // the record ends by itself
	}
	return s.expire(ctx, a, at.Channel, at.Key, &k, r.Revision)
}

// expire records the event of an entry's expiry, and then removes the entry. It
// fails with Conflict if somebody wrote meanwhile.
func (s *Store) expire(ctx context.Context, a *earshot.App, channel, key string, k *kept, revision uint64) error {
	m := &earshot.Message{
		App: a.Slug, Channel: channel, Notice: earshot.EntryChanged, Key: key, Kind: earshot.JSON, Data: []byte("null"),
		Sender: k.sender(), Time: k.expires(), ID: earshot.NewID(k.expires(), earshot.Position{}),
	}
	// No message was published, so the id is made up: always the same one.
	binary.BigEndian.PutUint64(m.ID[8:], k.Revision)
	e := &hub.Event{
		Type: hub.EntryChanged, Channel: channel, Message: m, Origin: &hub.Origin{Trigger: hub.BySchedule},
		Entry: &hub.EventEntry{Previous: k.Data, Expired: true, Expires: k.expires()},
	}
	outcome := make(chan error, 1)
	s.hub.Record(a, e, func(err error) { outcome <- err })
	select {
	case err := <-outcome:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return &earshot.Error{Code: earshot.Unavailable, Text: "the expiry of an entry was not recorded in time", Err: context.Cause(ctx)}
	}
	if len(k.Done) > 0 {
		// What is not to be written again is remembered, with the change that was
		// announced last: nobody is told of this one.
		_, err := s.put(ctx, record(a.Slug, channel, key), &kept{Revision: k.Revision, Written: k.Written, Done: k.Done}, revision, time.Now())
		return err
	}
	return s.records.Delete(ctx, record(a.Slug, channel, key), revision)
}
