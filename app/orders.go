package app

import (
	"context"
	"encoding/json"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/reaction"
	"github.com/earshot-io/earshot/schedule"
)

// The kinds of timers about channel storage: an entry's end, and a write that was
// scheduled.
const (
	entryEnds = "entry.end"
	entryLate = "entry.set"
)

// stores are what is kept beside messages.
type stores struct {
	hub       *hub.Hub
	apps      *auth.Directory
	timers    *schedule.Timers
	later     *schedule.Publisher
	entries   *entry.Store
	reactions *reaction.Store
}

// keep makes the stores. Timers that are due are carried out from Start on.
func keep(h *hub.Hub, engine Engine, apps *auth.Directory, timers *schedule.Timers) *stores {
	s := &stores{hub: h, apps: apps, timers: timers}
	s.later = schedule.NewPublisher(timers, h, engine, apps.BySlug)
	s.entries = entry.New(h, engine, s)
	s.reactions = reaction.New(h, engine)
	timers.Handle(entryEnds, func(ctx context.Context, t schedule.Timer) error {
		return s.onApp(t, func(a *earshot.App) error { return s.entries.Expire(ctx, a, t.Data) })
	})
	timers.Handle(entryLate, func(ctx context.Context, t schedule.Timer) error {
		return s.onApp(t, func(a *earshot.App) error {
			var w entry.Write
			if err := json.Unmarshal(t.Data, &w); err != nil {
				return earshot.Errorf(earshot.Invalid, "a scheduled write that cannot be read: %v", err)
			}
			if w.Once == "" {
				w.Once = "schedule:" + t.ID
			}
			_, err := s.entries.Set(ctx, a, w)
			return err
		})
	})
	return s
}

// onApp does something for a timer's app; one that is gone has nothing to do.
func (s *stores) onApp(t schedule.Timer, do func(a *earshot.App) error) error {
	if a := s.apps.BySlug(t.App); a != nil {
		return do(a)
	}
	return &earshot.Error{Code: earshot.NotFound, Reason: "APP_GONE", Text: "the app of the schedule is gone"}
}

// Wake is what entry.Waker asks for.
func (s *stores) Wake(ctx context.Context, a *earshot.App, id string, at time.Time, data []byte) error {
	return s.timers.Set(ctx, schedule.Timer{App: a.Slug, ID: "~" + entryEnds + id, At: at, Kind: entryEnds, Line: id, Data: data})
}

// storage writes entries for package api.
type storage struct{ *stores }

// Set writes an entry. What the app's server asks for here counts as a message
// that it publishes.
func (s storage) Set(ctx context.Context, a *earshot.App, e api.Entry) error {
	if err := s.hub.Spend(a); err != nil {
		return err
	}
	_, err := s.entries.Set(ctx, a, writeOf(e))
	return err
}

func writeOf(e api.Entry) entry.Write {
	return entry.Write{Channel: e.Channel, Key: e.Key, Data: e.Data, Store: e.Store, Emit: e.Emit, Origin: e.Origin, Once: e.Once}
}

// reactions carries out reactions for package api.
type reactions struct{ *stores }

// React adds or removes a reaction.
func (s reactions) React(ctx context.Context, a *earshot.App, r api.Reaction) error {
	if err := s.hub.Spend(a); err != nil {
		return err
	}
	_, err := s.stores.reactions.Apply(ctx, a, reaction.Change{
		Channel: r.Channel, Message: r.MessageID, Value: r.Value, Remove: r.Remove, UID: r.UID, Emit: r.Emit, Origin: r.Origin,
	})
	return err
}

// scheduler keeps orders for later for package api.
type scheduler struct{ *stores }

// scheduleRegion is in the names of schedules; no region means anything here.
const scheduleRegion = "us-east-1"

// Parse reads a schedule expression.
func (s scheduler) Parse(expression, zone string) (time.Time, error) {
	return schedule.Parse(expression, zone)
}

// Publish keeps a publication until its time.
func (s scheduler) Publish(ctx context.Context, a *earshot.App, at time.Time, p hub.Publication) (string, error) {
	if err := s.hub.Spend(a); err != nil {
		return "", err
	}
	return s.publishLater(ctx, a, at, p)
}

func (s *stores) publishLater(ctx context.Context, a *earshot.App, at time.Time, p hub.Publication) (string, error) {
	id, err := s.later.Publish(ctx, a, at, p)
	return schedule.ARN(scheduleRegion, a.Slug, id), err
}

// Set keeps a write until its time.
func (s scheduler) Set(ctx context.Context, a *earshot.App, at time.Time, e api.Entry) (string, error) {
	if err := s.hub.Spend(a); err != nil {
		return "", err
	}
	return s.setLater(ctx, a, at, writeOf(e))
}

// clientScheduler keeps orders for later for package proto. They are a client's,
// and were counted as that.
type clientScheduler struct{ scheduler }

// Publish keeps a publication until its time.
func (s clientScheduler) Publish(ctx context.Context, a *earshot.App, at time.Time, p hub.Publication) (string, error) {
	return s.publishLater(ctx, a, at, p)
}

// Set keeps a write until its time.
func (s clientScheduler) Set(ctx context.Context, a *earshot.App, at time.Time, w entry.Write) (string, error) {
	return s.setLater(ctx, a, at, w)
}

// setLater keeps a write. What could not be written then is refused now.
func (s *stores) setLater(ctx context.Context, a *earshot.App, at time.Time, w entry.Write) (string, error) {
	if err := entry.CheckKey(w.Key); err != nil {
		return "", err
	}
	if err := hub.CheckData(earshot.JSON, w.Data); err != nil {
		return "", err
	}
	data, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	id, err := s.timers.Add(ctx, schedule.Timer{App: a.Slug, At: at, Kind: entryLate, Line: w.Channel + " " + w.Key, Data: data})
	return schedule.ARN(scheduleRegion, a.Slug, id), err
}

// List returns what waits for its time.
func (s scheduler) List(ctx context.Context, a *earshot.App, after string, limit int) ([]api.Scheduled, bool, error) {
	timers, more, err := s.timers.List(ctx, a.Slug, after, limit)
	if err != nil {
		return nil, false, err
	}
	all := make([]api.Scheduled, 0, len(timers))
	for i := range timers {
		t := &timers[i]
		one := api.Scheduled{ID: t.ID, ARN: schedule.ARN(scheduleRegion, a.Slug, t.ID), At: t.At}
		switch t.Kind {
		case schedule.Message:
			if p, err := schedule.Open(t); err == nil {
				one.Channel, one.Event = p.Message.Channel, p.Message.Event
			}
		case entryLate:
			var w entry.Write
			if err := json.Unmarshal(t.Data, &w); err == nil {
				one.Channel, one.Key = w.Channel, w.Key
			}
		}
		all = append(all, one)
	}
	return all, more, nil
}

// Cancel takes it back.
func (s scheduler) Cancel(ctx context.Context, a *earshot.App, id string) (bool, error) {
	return s.timers.Cancel(ctx, a.Slug, id)
}
