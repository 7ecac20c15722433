package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// A Connection is one of a Subscriber, and what can be done with its
// permissions, by calls over HTTP that the server answers. It is good until the
// connection ends; after that its calls fail. It is safe for concurrent use.
type Connection struct {
	// ID is the server's name for it, to bind a token to.
	ID string
	// Expires is when the server ends it at the latest.
	Expires time.Time
	// UID and UMD are those of its token.
	UID string
	UMD json.RawMessage

	link   *link
	secret string
}

func (l *link) connection(f *frame) (*Connection, error) {
	var data struct {
		ConnectionID, ConnectionSecret string
		ConnectionExpiresAt            time.Time
	}
	if err := json.Unmarshal(f.Data, &data); err != nil {
		return nil, fmt.Errorf("the greeting is not understood: %w", err)
	}
	who := f.meta()
	return &Connection{
		ID: data.ConnectionID, Expires: data.ConnectionExpiresAt, UID: who.UID, UMD: who.UMD, link: l, secret: data.ConnectionSecret,
	}, nil
}

// Send publishes over the connection itself, for what may be lost: it returns
// when the message is on its way, and the server answers only to refuse it, by
// the notice Refused.
func (c *Connection) Send(ctx context.Context, m Message) error {
	text, err := m.MarshalJSON()
	if err != nil {
		return err
	}
	return c.link.write(ctx, json.RawMessage(text))
}

// Publish publishes with the permissions of the connection.
func (c *Connection) Publish(ctx context.Context, m Message) (*Answer, error) {
	return c.call(ctx, "publishMessage", m)
}

// React adds a reaction, such as 👍, to a stored message.
func (c *Connection) React(ctx context.Context, channel, messageID, reaction string) error {
	return c.react(ctx, channel, messageID, reaction, "add")
}

// Unreact takes a reaction back.
func (c *Connection) Unreact(ctx context.Context, channel, messageID, reaction string) error {
	return c.react(ctx, channel, messageID, reaction, "remove")
}

func (c *Connection) react(ctx context.Context, channel, messageID, reaction, action string) error {
	_, err := c.Publish(ctx, Message{Channel: channel, Event: MessageReaction, Data: map[string]string{
		"messageId": messageID, "reaction": reaction, "action": action,
	}})
	return err
}

// A Page says which part of a channel's history to read.
type Page struct {
	// After is the id of the message after which to begin, empty for the beginning.
	// Of a reversed page it means nothing.
	After string
	// Before is the id of the message before which a reversed page begins, empty
	// for the end.
	Before string
	// Reverse begins with the newest.
	Reverse bool
	// ExpandReactions tells who reacted, not only how many.
	ExpandReactions bool
}

// A Stored is a message of history.
type Stored struct {
	Received
	// Reactions are those to the message, by their values.
	Reactions map[string]Reacted `json:"reactions"`
}

// Reacted is how often somebody reacted in one way.
type Reacted struct {
	Count int `json:"count"`
	// Items are who did, if the Page asked for it.
	Items []Member `json:"items"`
}

// History reads a page of a channel's history: up to 100 messages or 1 MB.
func (c *Connection) History(ctx context.Context, channel string, p Page) ([]Stored, error) {
	var got struct{ Messages []Stored }
	err := c.ask(ctx, "listMessages", map[string]any{
		"channel": channel, "after": p.After, "before": p.Before, "reverse": p.Reverse, "expandReactions": p.ExpandReactions,
	}, &got)
	return got.Messages, err
}

// AllHistory reads a channel's history from a page on, page after page, as the
// loop asks for it. It ends with an error if there is one.
func (c *Connection) AllHistory(ctx context.Context, channel string, p Page) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for {
			page, err := c.History(ctx, channel, p)
			if err != nil {
				yield(Stored{}, err)
				return
			}
			if len(page) == 0 {
				return
			}
			for _, m := range page {
				if !yield(m, nil) {
					return
				}
			}
			p.After, p.Before = page[len(page)-1].ID, page[len(page)-1].ID
		}
	}
}

// Reactions reads who reacted to a message.
func (c *Connection) Reactions(ctx context.Context, channel, messageID string) ([]Reaction, error) {
	var got struct {
		Reactions []struct {
			Member
			Reaction string
		}
	}
	err := c.ask(ctx, "listReactions", map[string]any{"channel": channel, "messageId": messageID}, &got)
	all := make([]Reaction, len(got.Reactions))
	for i, r := range got.Reactions {
		all[i] = Reaction{Channel: channel, MessageID: messageID, Reaction: r.Reaction, UID: r.UID, UMD: r.UMD}
	}
	return all, err
}

// A wireEntry is an Entry as the server sends it.
type wireEntry struct {
	Key  string
	Data json.RawMessage
	Meta *Member
}

func (w wireEntry) entry() Entry {
	e := Entry{Key: w.Key, Data: w.Data}
	if w.Meta != nil {
		e.UID, e.UMD = w.Meta.UID, w.Meta.UMD
	}
	return e
}

// Entry reads an entry of a channel's storage; its Data is null if there is none.
func (c *Connection) Entry(ctx context.Context, channel, key string) (Entry, error) {
	var got wireEntry
	err := c.ask(ctx, "channelStorageGet", map[string]any{"channel": channel, "key": key}, &got)
	return got.entry(), err
}

// SetEntry writes an entry of a channel's storage; nil clears it.
func (c *Connection) SetEntry(ctx context.Context, channel, key string, data any) error {
	return c.ask(ctx, "channelStorageSet", map[string]any{"channel": channel, "key": key, "data": data}, nil)
}

// Entries reads entries of a channel's storage in the order of their keys: those
// after a key, if it is not empty, and only some, if keys are given, at most 100.
func (c *Connection) Entries(ctx context.Context, channel, after string, keys ...string) ([]Entry, error) {
	body := map[string]any{"channel": channel}
	if after != "" {
		body["after"] = after
	}
	if len(keys) > 0 {
		body["keys"] = keys
	}
	var got struct{ Items []wireEntry }
	err := c.ask(ctx, "channelStorageList", body, &got)
	all := make([]Entry, len(got.Items))
	for i, w := range got.Items {
		all[i] = w.entry()
	}
	return all, err
}

// ChannelInfo is who hears a channel.
type ChannelInfo struct {
	Channel            string
	SubscriptionsCount int
	// Members are those of a presence channel, nil for another.
	Members []Member
}

// Info asks who hears a channel.
func (c *Connection) Info(ctx context.Context, channel string) (ChannelInfo, error) {
	var got ChannelInfo
	err := c.ask(ctx, "getChannelInfo", map[string]any{"channel": channel}, &got)
	return got, err
}

// UpdateUMD replaces the user's metadata by that of a token with the scope umd:
// on one channel, or the connection's if that is empty.
func (c *Connection) UpdateUMD(ctx context.Context, channel, token string) error {
	body := map[string]any{"token": token}
	if channel != "" {
		body["channel"] = channel
	}
	return c.ask(ctx, "umdUpdate", body, nil)
}

// ask calls and decodes the answer, unless that is nil.
func (c *Connection) ask(ctx context.Context, name string, body, into any) error {
	answer, err := c.call(ctx, name, body)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(answer.Raw, into); err != nil {
		return fmt.Errorf("client: the answer is not understood: %w", err)
	}
	return nil
}

// call posts to an endpoint of the connection. Its secret is in no error.
func (c *Connection) call(ctx context.Context, name string, body any) (*Answer, error) {
	text, err := encode(body)
	if err != nil {
		return nil, unsendable(err)
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	query := url.Values{"connectionId": {c.ID}, "connectionSecret": {c.secret}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.link.api+"/connection/"+name+"?"+query.Encode(), bytes.NewReader(text))
	if err != nil {
		return nil, unsendable(withoutURL(err))
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.link.caller.Do(r)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, refusal(resp, got)
	}
	return &Answer{Status: resp.StatusCode, Raw: got}, nil
}
