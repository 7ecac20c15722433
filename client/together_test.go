package client_test

import (
	"testing"

	"github.com/earshot-io/earshot/client"
)

// TestPresence: who comes and goes is told, with everybody who is there.
func TestPresence(t *testing.T) {
	s, c := serve(t)
	claims := func(uid string) client.Claims {
		return client.Claims{UID: uid, Channels: map[string]client.ChannelClaims{"presence.room": {Subscribe: client.Allow, GetInfo: client.Allow}}}
	}
	jim := s.listen(t, nil, c, claims("jim"), "presence.room")
	conn := await[client.Connected](jim).Conn
	if n := await[client.Subscribed](jim); len(n.Members) != 1 || n.Members[0].UID != "jim" {
		t.Errorf("got %+v", n)
	}
	t.Run("another", func(t *testing.T) {
		dee := s.listen(t, nil, c, claims("dee"), "presence.room")
		if n := await[client.Subscribed](dee); len(n.Members) != 2 {
			t.Errorf("got %+v", n)
		}
		if n := await[client.MemberAdded](jim); n.Channel != "presence.room" || n.Member.UID != "dee" || len(n.Members) != 2 {
			t.Errorf("got %+v", n)
		}
		info, err := conn.Info(t.Context(), "presence.room")
		if err != nil || info.SubscriptionsCount != 2 || len(info.Members) != 2 {
			t.Errorf("got %+v, %v", info, err)
		}
	})
	if n := await[client.MemberRemoved](jim); n.Member.UID != "dee" || len(n.Members) != 1 {
		t.Errorf("got %+v", n)
	}
	token, err := c.Issue(client.Claims{
		Scope: client.ScopeUMD, ConnectionID: conn.ID, UID: "jim", UMD: "new",
		Channels: map[string]client.ChannelClaims{"presence.room": {UMDUpdate: client.Allow}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.UpdateUMD(t.Context(), "presence.room", token); err != nil {
		t.Fatal(err)
	}
	if n := await[client.MemberUpdated](jim); n.Member.UID != "jim" || string(n.Member.UMD) != `"new"` {
		t.Errorf("got %+v", n)
	}
}
