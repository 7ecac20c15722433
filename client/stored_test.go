package client_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/earshot-io/earshot/client"
)

// TestStorage: entries are set, got, listed and observed.
func TestStorage(t *testing.T) {
	s, c := serve(t)
	l := s.listen(t, nil, c, client.Claims{UID: "jim", Channels: map[string]client.ChannelClaims{"a": everything}}, "a")
	conn := await[client.Connected](l).Conn
	await[client.Subscribed](l)
	if err := conn.SetEntry(t.Context(), "a", "k", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	if n := await[client.StorageUpdated](l); n.Channel != "a" || n.Key != "k" || string(n.Data) != `{"n":1}` || n.UID != "jim" {
		t.Errorf("got %+v", n)
	}
	if _, err := c.Publish(t.Context(), client.Message{Channel: "a", Event: client.StorageSet, Key: "l", Data: 2}); err != nil {
		t.Fatal(err)
	}
	if n := await[client.StorageUpdated](l); n.Key != "l" || string(n.Data) != `2` {
		t.Errorf("got %+v", n)
	}
	if e, err := conn.Entry(t.Context(), "a", "k"); err != nil || string(e.Data) != `{"n":1}` || e.UID != "jim" {
		t.Errorf("got %+v, %v", e, err)
	}
	if e, err := conn.Entry(t.Context(), "a", "none"); err != nil || string(e.Data) != `null` {
		t.Errorf("got %+v, %v", e, err)
	}
	if all, err := conn.Entries(t.Context(), "a", ""); err != nil || len(all) != 2 || all[0].Key != "k" || all[1].Key != "l" {
		t.Errorf("got %+v, %v", all, err)
	}
	if all, err := conn.Entries(t.Context(), "a", "k", "k", "l"); err != nil || len(all) != 1 || all[0].Key != "l" {
		t.Errorf("got %+v, %v", all, err)
	}
	if err := conn.SetEntry(t.Context(), "a", "k", nil); err != nil {
		t.Fatal(err)
	}
	if n := await[client.StorageUpdated](l); n.Key != "k" || string(n.Data) != `null` {
		t.Errorf("got %+v", n)
	}
	var e *client.Error
	if err := conn.SetEntry(t.Context(), "b", "k", 1); !errors.As(err, &e) || e.Status/100 != 4 {
		t.Errorf("an entry of another channel: %v", err)
	}
}

// TestReactions: they are added, heard, listed and taken back.
func TestReactions(t *testing.T) {
	s, c := serve(t)
	claims := everything
	claims.Messages = map[string]client.EventClaims{
		"*":                    {React: client.Reactions{Only: []string{"👍"}}},
		client.MessageReaction: {Echo: client.Allow},
	}
	l := s.listen(t, nil, c, client.Claims{UID: "jim", Channels: map[string]client.ChannelClaims{"a": claims}}, "a")
	conn := await[client.Connected](l).Conn
	await[client.Subscribed](l)
	if _, err := c.Publish(t.Context(), client.Message{Channel: "a", Event: "said", Data: "hi", Store: 60}); err != nil {
		t.Fatal(err)
	}
	m := l.message()
	if err := conn.React(t.Context(), "a", m.ID, "👍"); err != nil {
		t.Fatal(err)
	}
	if n := await[client.ReactionAdded](l); n.Channel != "a" || n.MessageID != m.ID || n.Reaction.Reaction != "👍" || n.UID != "jim" {
		t.Errorf("got %+v", n)
	}
	var e *client.Error
	if err := conn.React(t.Context(), "a", m.ID, "👎"); !errors.As(err, &e) || e.Status/100 != 4 {
		t.Errorf("a reaction that is not allowed: %v", err)
	}
	if all, err := conn.Reactions(t.Context(), "a", m.ID); err != nil || len(all) != 1 || all[0].Reaction != "👍" || all[0].UID != "jim" {
		t.Errorf("got %+v, %v", all, err)
	}
	page, err := conn.History(t.Context(), "a", client.Page{ExpandReactions: true})
	if err != nil || len(page) != 1 || page[0].Reactions["👍"].Count != 1 || page[0].Reactions["👍"].Items[0].UID != "jim" {
		text, _ := json.Marshal(page)
		t.Errorf("got %s, %v", text, err)
	}
	if err := conn.Unreact(t.Context(), "a", m.ID, "👍"); err != nil {
		t.Fatal(err)
	}
	if n := await[client.ReactionRemoved](l); n.MessageID != m.ID || n.Reaction.Reaction != "👍" {
		t.Errorf("got %+v", n)
	}
}
