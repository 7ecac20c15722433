package webhook

import (
	"context"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A Told event is one of the stream.
type Told struct {
	// At is where it stands: what comes after it is asked for with this. It is
	// no message's id.
	At earshot.ID
	// ID is the event's, the same as its webhook-id.
	ID   string
	Type hub.EventType
	// Body is the envelope.
	Body []byte
}

// A Stream is an app's events, read from a place on. It is for one goroutine.
type Stream struct {
	s    *Events
	app  string
	at   earshot.Position
	news <-chan struct{}
}

// Oldest is a place before all events that are kept.
func Oldest() earshot.ID { return earshot.ID{15: 1} }

var errNoStream = &earshot.Error{
	Code: earshot.NotFound, Reason: "EVENTS_NOT_RECORDED", Text: "events of this app are not recorded: set record_events, or give it a webhook",
}

// Stream begins to read an app's events behind a place: the zero ID is now.
// whole is false if events after the place are not kept any more, or the place is
// of another outbox; the stream begins with the oldest then. It fails with
// NotFound if the app's events are not recorded, or as the engine does.
func (s *Events) Stream(ctx context.Context, a *earshot.App, after earshot.ID) (st *Stream, whole bool, err error) {
	if len(s.wants[a.Slug]) == 0 {
		return nil, false, errNoStream
	}
	state, err := s.store.Events(ctx)
	if err != nil {
		return nil, false, err
	}
	st = &Stream{s: s, app: a.Slug, at: after.Position(), news: s.news.next()}
	switch {
	case after.IsZero():
		st.at = state.Newest
		return st, true, nil
	case after == Oldest():
		return st, true, nil
	case st.at.Epoch != state.Newest.Epoch || st.at.Seq > state.Newest.Seq:
		st.at = earshot.Position{}
		return st, false, nil
	}
	if state.Keep > 0 && time.Since(after.Time()) > state.Keep {
		return st, false, nil
	}
	low, err := s.floor(ctx, a.Slug)
	return st, low.Epoch != st.at.Epoch || low.Seq <= st.at.Seq, err
}

func (s *Events) floor(ctx context.Context, app string) (f floor, err error) {
	r, err := s.store.Get(ctx, floorKey(app))
	if err != nil || r.Revision == 0 {
		return f, err
	}
	return f, cbor.Unmarshal(r.Data, &f)
}

// Place is where the stream stands.
func (st *Stream) Place() earshot.ID { return earshot.NewID(time.Now(), st.at) }

// Read returns the next events; none if there are none now.
func (st *Stream) Read(ctx context.Context) ([]Told, error) {
	st.news = st.s.news.next() // before reading, so that none is missed
	for {
		page, err := st.s.store.ReadEvents(ctx, st.app, "", st.at, pageLimit)
		if err != nil {
			return nil, err
		}
		var all []Told
		for i := range page.Entries {
			e := &page.Entries[i]
			st.at = e.Position
			var v item
			if err := cbor.Unmarshal(e.Data, &v); err == nil && v.To == "" {
				all = append(all, Told{At: earshot.NewID(e.Time, e.Position), ID: v.ID, Type: v.Type, Body: v.Body})
			}
		}
		if len(all) > 0 || !page.More {
			return all, nil
		}
	}
}

// Wait returns when there may be more events, after a time at the most, or when
// the context ends.
func (st *Stream) Wait(ctx context.Context, most time.Duration) {
	timer := time.NewTimer(min(most, st.s.config.Poll))
	defer timer.Stop()
	select {
	case <-st.news:
	case <-timer.C:
	case <-ctx.Done():
	}
}
