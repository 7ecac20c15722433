package webhook

import (
	"context"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A grave is a dead letter as it is recorded.
type grave struct {
	Line   string `cbor:"1,keyasint"`
	Item   []byte `cbor:"2,keyasint"`
	Reason string `cbor:"3,keyasint"`
	Tries  int    `cbor:"4,keyasint"`
	Time   int64  `cbor:"5,keyasint"` // when the event was recorded
}

func graveKey(app, hook, id string) hub.Key { return hub.Key{"dead", app, hook, id} }

// bury makes a dead letter of an event.
func (s *Events) bury(ctx context.Context, app, hook, line string, t *task, reason string, tries int) error {
	body, err := cbor.Marshal(&t.item)
	if err != nil {
		return err
	}
	data, err := cbor.Marshal(&grave{Line: line, Item: body, Reason: reason, Tries: tries, Time: t.time.UnixMilli()})
	if err != nil {
		return err
	}
	_, err = s.store.Put(ctx, graveKey(app, hook, t.ID), data, hub.AnyRevision, s.config.DeadKeep)
	return err
}

// A Dead letter is an event that a webhook did not take.
type Dead struct {
	// ID is the event's, as in webhook-id.
	ID   string
	Type hub.EventType
	// Recorded is when the event happened, Died when it was given up.
	Recorded, Died time.Time
	// Tries is how often it was tried, Reason why the last one failed.
	Tries  int
	Reason string
	// Body is what was posted.
	Body []byte
}

var errNoWebhook = &earshot.Error{Code: earshot.NotFound, Reason: "WEBHOOK_UNKNOWN", Text: "the app has no webhook with this id"}

// hook returns a webhook's dispatcher.
func (s *Events) hook(app, id string) (*dispatcher, error) {
	for _, d := range s.hooks {
		if d.app.Slug == app && d.hook.ID == id {
			return d, nil
		}
	}
	return nil, errNoWebhook
}

// Dead returns up to limit dead letters of a webhook in the order of their ids,
// those after one, empty for the first. It fails with NotFound if there is no
// such webhook, or as the engine does.
func (s *Events) Dead(ctx context.Context, app, hook, after string, limit int) (all []Dead, more bool, err error) {
	records, more, err := s.graves(ctx, app, hook, after, limit)
	if err != nil {
		return nil, false, err
	}
	for i := range records {
		g, t, err := exhume(&records[i])
		if err != nil {
			return nil, false, err
		}
		all = append(all, Dead{
			ID: t.ID, Type: t.Type, Recorded: time.UnixMilli(g.Time), Died: records[i].Time, Tries: g.Tries, Reason: g.Reason, Body: t.Body,
		})
	}
	return all, more, nil
}

func (s *Events) graves(ctx context.Context, app, hook, after string, limit int) ([]hub.Record, bool, error) {
	if _, err := s.hook(app, hook); err != nil {
		return nil, false, err
	}
	var from hub.Key
	if after != "" {
		from = graveKey(app, hook, after)
	}
	return s.store.List(ctx, hub.Key{"dead", app, hook}, from, limit)
}

func exhume(r *hub.Record) (g grave, t item, err error) {
	if err = cbor.Unmarshal(r.Data, &g); err == nil {
		err = cbor.Unmarshal(g.Item, &t)
	}
	if err != nil {
		err = fmt.Errorf("dead letter %v: %w", r.Key, err)
	}
	return g, t, err
}

// Replay puts dead letters of a webhook back into the outbox, behind all that is
// there, for this webhook alone and with the ids that they had: those of the
// given ids, or all for none. It returns how many. Those that it has replayed
// before it failed stay replayed; one that is not there is NotFound.
func (s *Events) Replay(ctx context.Context, app, hook string, ids []string) (replayed int, err error) {
	if _, err := s.hook(app, hook); err != nil {
		return 0, err
	}
	if len(ids) == 0 {
		return s.replayAll(ctx, app, hook)
	}
	for _, id := range ids {
		r, err := s.store.Get(ctx, graveKey(app, hook, id))
		if err != nil {
			return replayed, err
		}
		if r.Revision == 0 {
			return replayed, &earshot.Error{Code: earshot.NotFound, Reason: "EVENT_UNKNOWN", Text: "there is no dead letter with the id " + id}
		}
		if err := s.replay(ctx, app, hook, &r); err != nil {
			return replayed, err
		}
		replayed++
	}
	return replayed, nil
}

// replayPage is how many dead letters are read at once.
const replayPage = 100

func (s *Events) replayAll(ctx context.Context, app, hook string) (replayed int, err error) {
	for {
		records, more, err := s.graves(ctx, app, hook, "", replayPage)
		if err != nil {
			return replayed, err
		}
		for i := range records {
			if err := s.replay(ctx, app, hook, &records[i]); err != nil {
				return replayed, err
			}
			replayed++
		}
		if !more {
			return replayed, nil
		}
	}
}

func (s *Events) replay(ctx context.Context, app, hook string, r *hub.Record) error {
	g, t, err := exhume(r)
	if err != nil {
		return err
	}
	t.To, t.Node, t.N, t.Message = hook, "", 0, nil
	data, err := cbor.Marshal(&t)
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	entry := hub.Entry{App: app, Line: g.Line, Data: data, Key: fmt.Sprintf("replay/%s/%s/%d", hook, t.ID, r.Revision)}
	s.store.PutEvent(entry, func(err error) { result <- err })
	select {
	case err = <-result:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	s.news.tell()
	err = s.store.Delete(ctx, r.Key, r.Revision)
	if earshot.CodeOf(err) == earshot.Conflict {
		return nil // it has died again, and is another one now
	}
	return err
}
