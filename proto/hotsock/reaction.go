package hotsock

import (
	"context"
	"strconv"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/reaction"
)

// messageReaction is the event that reacts, and whose echo counts (spec §2.7).
const messageReaction = "hotsock.messageReaction"

// handleReaction adds or removes a reaction. Success is not answered.
func (s *session) handleReaction(ctx context.Context, q *request) error {
	channel, alias := s.real(q.channel, nil)
	if err := s.p.react(ctx, s.conn, channel, q.data, nil); err != nil {
		return s.fail(channel, alias, faultOf(err))
	}
	return nil
}

// react carries out what the client of a connection asks for.
func (p *Protocol) react(ctx context.Context, c *hub.Conn, channel string, data []byte, origin *hub.Origin) error {
	if p.deps.Reactions == nil {
		return errNotServed(messageReaction)
	}
	if channel == "" {
		return errNoChannel
	}
	if err := checkChannel(channel); err != nil {
		return err
	}
	change, err := reaction.Parse(channel, data)
	if err != nil {
		return err
	}
	change.Origin = origin
	_, err = p.deps.Reactions.ApplyBy(ctx, c, change, messageReaction)
	return err
}

// publishReaction is publishMessage of a reaction (spec §2.7). It is answered
// without an id: a reaction that was there already has no event.
func (p *Protocol) publishReaction(ctx context.Context, q *call, channel string, m *post) ([]byte, error) {
	if m.Expression != nil && *m.Expression != "" {
		return nil, &earshot.Error{Code: earshot.Invalid, Reason: "NOT_SUPPORTED", Text: "reactions are not scheduled"}
	}
	if err := p.react(ctx, q.conn, channel, m.Data, q.origin); err != nil {
		return nil, err
	}
	return published(channel, messageReaction, hub.Appended{}, false), nil
}

// listReactions answers with the reactions to a message that the client may
// read (spec §5).
func (p *Protocol) listReactions(ctx context.Context, q *call) ([]byte, error) {
	var in struct {
		Channel   *string `json:"channel"`
		MessageID *string `json:"messageId"`
	}
	if err := q.read(&in); err != nil {
		return nil, err
	}
	channel, err := q.channel(in.Channel)
	if err != nil {
		return nil, err
	}
	if in.MessageID == nil {
		return nil, malformed("messageId is missing")
	}
	id, err := earshot.ParseID(*in.MessageID)
	if err != nil {
		return nil, malformed("messageId is not the id of a message")
	}
	if _, err := q.conn.Message(ctx, channel, id); err != nil {
		return nil, err
	}
	var all []reaction.Reaction
	if p.deps.Reactions != nil {
		if all, err = p.deps.Reactions.Of(ctx, q.conn.App(), channel, id); err != nil {
			return nil, err
		}
	}
	b := []byte(`{"reactions":[`)
	for i := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = quote(append(b, `{"reaction":`...), all[i].Value)
		b = append(reacted(append(b, ','), &all[i]), '}')
	}
	return append(b, "]}"...), nil
}

// reacted appends the members of who reacted.
func reacted(b []byte, r *reaction.Reaction) []byte {
	b = quote(append(b, `"uid":`...), r.UID)
	if r.Meta != nil {
		b = append(append(b, `,"umd":`...), r.Meta...)
	}
	return b
}

// reactions reads the reactions to a page of messages, with the metadata of who
// reacted if they are to be expanded; nil if there are none.
func (p *Protocol) reactions(ctx context.Context, c *hub.Conn, channel string, messages []*earshot.Message, expand bool) (map[earshot.ID][]reaction.Reaction, error) {
	if p.deps.Reactions == nil {
		return nil, nil
	}
	ids := make([]earshot.ID, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	return p.deps.Reactions.Among(ctx, c.App(), channel, ids, expand)
}

// reactedTo appends the member reactions of a message in history: of each value
// the number, and who reacted if that is asked for; values in the order in which
// they came first (spec §5).
func reactedTo(b []byte, all []reaction.Reaction, expand bool) []byte {
	if len(all) == 0 && !expand {
		return b
	}
	var values []string
	by := map[string][]*reaction.Reaction{}
	for i := range all {
		r := &all[i]
		if by[r.Value] == nil {
			values = append(values, r.Value)
		}
		by[r.Value] = append(by[r.Value], r)
	}
	b = append(b, `,"reactions":{`...)
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(quote(b, v), `:{"count":`...)
		b = strconv.AppendInt(b, int64(len(by[v])), 10)
		if expand {
			b = append(whoReacted(append(b, `,"items":[`...), by[v]), ']')
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func whoReacted(b []byte, all []*reaction.Reaction) []byte {
	for i, r := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(reacted(append(b, '{'), r), '}')
	}
	return b
}
