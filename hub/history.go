package hub

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
)

// History reads stored messages of a channel that the connection is subscribed
// to. What is older than its grants open is left out: than their HistoryStart,
// or without one, than the subscription. It fails with Forbidden without a
// subscription, or as the engine does. It waits for the engine.
func (c *Conn) History(ctx context.Context, channel string, r Range) (Page, error) {
	sub := c.Sub(channel)
	if sub == nil {
		return Page{}, &earshot.Error{Code: earshot.Forbidden, Reason: "NOT_SUBSCRIBED", Text: "reading history needs a subscription to the channel"}
	}
	since := sub.Since()
	if start := sub.historyStart(); start != nil {
		since = *start
	}
	if since.After(r.Since) {
		r.Since = since
	}
	r.Hidden = false
	r.AtLeast = max(r.AtLeast, c.hub.seen.Load())
	return c.hub.read(ctx, c.App().Slug, channel, r)
}

// Message reads one message of a channel as History would show it. It fails with
// NotFound if it does not show it, or else as History does.
func (c *Conn) Message(ctx context.Context, channel string, id earshot.ID) (*earshot.Message, error) {
	if id.Position().IsZero() {
		return nil, errNoMessage // a live one is in no history
	}
	page, err := c.History(ctx, channel, only(id))
	return found(page, id, err)
}

// Message reads one message of a channel's history. It fails with NotFound if
// there is none, or as the engine does.
func (h *Hub) Message(ctx context.Context, a *earshot.App, channel string, id earshot.ID) (*earshot.Message, error) {
	if id.Position().IsZero() {
		return nil, errNoMessage
	}
	r := only(id)
	r.AtLeast = h.seen.Load()
	page, err := h.read(ctx, a.Slug, channel, r)
	return found(page, id, err)
}

// only selects one message.
func only(id earshot.ID) Range {
	p := id.Position()
	return Range{After: position(p.Epoch, max(p.Seq, 1)-1), Before: position(p.Epoch, p.Seq+1), Limit: 1}
}

func found(page Page, id earshot.ID, err error) (*earshot.Message, error) {
	if err != nil {
		return nil, err
	}
	for _, m := range page.Messages {
		if m.ID == id && (m.Store < 0 || time.Since(m.Time) < m.Store) {
			return m, nil
		}
	}
	return nil, errNoMessage
}

var errNoMessage = &earshot.Error{Code: earshot.NotFound, Reason: "MESSAGE_NOT_FOUND", Text: "the channel's history shows no message of this id"}

// historyStart is the oldest moment that the grants open, nil if they are silent.
func (s *Sub) historyStart() *time.Time { return s.Identity().On(s.name, "").HistoryStart }

// resumeSince is the moment before which a resume sends nothing: what was said
// before the client came is for those whose grants open it, or who were there.
func resumeSince(s *Sub, proven time.Time) time.Time {
	since := s.Since()
	if window := time.Now().Add(-s.conn.hub.config.ResumeWindow); !proven.IsZero() {
		if proven.Before(window) {
			proven = window
		}
		if proven.Before(since) {
			since = proven
		}
	}
	if start := s.historyStart(); start != nil && start.Before(since) {
		since = *start
	}
	return since
}

// newer returns the deliveries that are not older than since.
func newer(ds []*delivery, since time.Time) []*delivery {
	for len(ds) > 0 && ds[0].m.Time.Before(since) {
		ds = ds[1:]
	}
	return ds
}
