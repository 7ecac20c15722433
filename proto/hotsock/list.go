package hotsock

import (
	"context"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/reaction"
)

// pageMessages and pageBytes bound one answer of listMessages (spec §5).
const (
	pageMessages = 100
	pageBytes    = 1 << 20
)

// A listing is the body of listMessages.
type listing struct {
	Channel *string `json:"channel"`
	After   *string `json:"after"`
	Before  *string `json:"before"`
	Reverse *bool   `json:"reverse"`
	Expand  *bool   `json:"expandReactions"`
}

// listMessages answers with stored messages of a channel, oldest first unless
// reversed (spec §5).
func (p *Protocol) listMessages(ctx context.Context, q *call) ([]byte, error) {
	var l listing
	if err := q.read(&l); err != nil {
		return nil, err
	}
	channel, err := q.channel(l.Channel)
	if err != nil {
		return nil, err
	}
	r := hub.Range{Limit: pageMessages, Bytes: pageBytes, Reverse: isTrue(l.Reverse)}
	bound, from := &r.After, l.After
	if r.Reverse {
		bound, from = &r.Before, l.Before
	}
	if err := boundBy(bound, from); err != nil {
		return nil, err
	}
	messages, err := history(ctx, q.conn, channel, r)
	if err != nil {
		return nil, err
	}
	reactions, err := p.reactions(ctx, q.conn, channel, messages, isTrue(l.Expand))
	if err != nil {
		return nil, err
	}
	return listed(messages, reactions, isTrue(l.Expand)), nil
}

// boundBy sets a bound to the id of a message; none or an empty one is no bound.
func boundBy(bound *earshot.Position, text *string) error {
	if text == nil || *text == "" {
		return nil
	}
	id, err := earshot.ParseID(*text)
	if err != nil {
		return malformed("after and before are ids of messages")
	}
	*bound = id.Position()
	return nil
}

// history reads one page. A page that is short without being the last would be
// taken for the last, so the log is asked again until the page is full.
func history(ctx context.Context, c *hub.Conn, channel string, r hub.Range) ([]*earshot.Message, error) {
	var all []*earshot.Message
	for {
		page, err := c.History(ctx, channel, r)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Messages...)
		for _, m := range page.Messages {
			r.Bytes -= len(m.Data) + len(m.Event)
		}
		r.Limit -= len(page.Messages)
		if !page.More || len(page.Messages) == 0 || r.Limit <= 0 || r.Bytes <= 0 {
			return all, nil
		}
		last := page.Messages[len(page.Messages)-1].ID.Position()
		if r.Reverse {
			r.Before = last
		} else {
			r.After = last
		}
	}
}

// listed renders messages as history shows them, with the reactions to them.
func listed(messages []*earshot.Message, reactions map[earshot.ID][]reaction.Reaction, expand bool) []byte {
	size := 32
	for _, m := range messages {
		size += 192 + len(m.Channel) + len(m.Event) + len(m.Data)
	}
	b := append(make([]byte, 0, size), `{"messages":[`...)
	for i, m := range messages {
		before := len(b)
		if i > 0 {
			b = append(b, ',')
		}
		b = message(b, m, true)
		b = append(reactedTo(b[:len(b)-1], reactions[m.ID], expand), '}')
		if i > 0 && len(b) > pageBytes {
			b = b[:before] // as JSON it may be longer than as it is stored
			break
		}
	}
	return append(b, "]}"...)
}
