package webhook

import (
	"context"
	"net/url"
	"time"

	"github.com/earshot-io/earshot"
)

// A State is how a webhook is.
type State struct {
	ID string
	// URL is its address without what may be a secret: user and query.
	URL    string
	Events []string
	// Waiting is how many channels and connections have events that were not
	// taken yet, and Oldest when the oldest one known of them was recorded.
	Waiting int
	Oldest  time.Time
	// Behind is how many events of all apps were recorded since the last one that
	// was looked at for it.
	Behind uint64
	// Delivered is when it last took an event, Failed when it last did not, zero
	// for never, and Reason why.
	Delivered, Failed time.Time
	Reason            string
	// Dead is how many dead letters it has; DeadMore says that there are more.
	Dead     int
	DeadMore bool
}

// List tells how the webhooks of an app are, as they last recorded it, up to some
// seconds ago.
func (s *Events) List(ctx context.Context, a *earshot.App) ([]State, error) {
	all := []State{}
	if len(a.Webhooks) == 0 {
		return all, nil
	}
	outbox, err := s.store.Events(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range s.hooks {
		if d.app.Slug != a.Slug {
			continue
		}
		st, err := s.state(ctx, d, outbox.Newest)
		if err != nil {
			return nil, err
		}
		all = append(all, st)
	}
	return all, nil
}

func (s *Events) state(ctx context.Context, d *dispatcher, newest earshot.Position) (State, error) {
	st := State{ID: d.hook.ID, URL: shown(d.hook.URL), Events: []string{}}
	for i := range d.hook.Events {
		st.Events = append(st.Events, d.hook.Events[i].String())
	}
	c, _, err := s.readCursor(ctx, d.app.Slug, d.hook.ID)
	if err != nil {
		return st, err
	}
	st.Waiting, st.Reason = len(c.Lines), c.Reason
	st.Delivered, st.Failed = fromMillis(c.Delivered), fromMillis(c.Failed)
	if newest.Epoch == c.Epoch && newest.Seq > c.Head {
		st.Behind = newest.Seq - c.Head
	}
	for i := range c.Lines {
		if at := fromMillis(c.Lines[i].Since); !at.IsZero() && (st.Oldest.IsZero() || at.Before(st.Oldest)) {
			st.Oldest = at
		}
	}
	dead, more, err := s.graves(ctx, d.app.Slug, d.hook.ID, "", replayPage)
	st.Dead, st.DeadMore = len(dead), more
	return st, err
}

// shown is an address without user and query.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}
