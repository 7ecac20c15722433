package client_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/earshot-io/earshot/client"
)

// TestClaims: what each field becomes in a token.
func TestClaims(t *testing.T) {
	soon := time.Unix(1795345507, 999)
	for name, c := range map[string]struct {
		claims client.Claims
		want   string
	}{
		"none": {client.Claims{}, `{}`},
		"all": {
			client.Claims{
				Scope: client.ScopeConnect + " " + client.ScopeSubscribe, Expires: soon, NotBefore: soon, IssuedAt: soon, Audience: []string{"a", "b"},
				Issuer: "i", ID: "j", UID: "u", UMD: map[string]string{"n": "<>"}, SingleUse: true, ConnectionID: "c", KeepAlive: true,
				HeartbeatTimeout: 30, UMDUpdate: true, UMDPropagate: true, Channels: map[string]client.ChannelClaims{"c": {}}, Extra: map[string]any{"x": 1},
			},
			`{"scope":"connect subscribe","exp":1795345507,"nbf":1795345507,"iat":1795345507,"aud":["a","b"],"iss":"i","jti":"j","uid":"u","umd":{"n":"<>"},"singleUse":true,"connectionId":"c","keepAlive":true,"heartbeatTimeout":30,"umdUpdate":true,"umdPropagate":true,"channels":{"c":{}},"x":1}`,
		},
		"one audience": {client.Claims{Audience: []string{"a"}}, `{"aud":"a"}`},
		"extra wins":   {client.Claims{UID: "u", Extra: map[string]any{"uid": "v"}}, `{"uid":"v"}`},
		"a channel": {
			client.Claims{Channels: map[string]client.ChannelClaims{"chat.*": {
				Subscribe: client.Allow, AutoSubscribe: client.Deny, Alias: "al", GetInfo: client.Allow, HistoryStart: time.Unix(0, 0),
				OmitFromSubCount: client.Allow, UMDUpdate: client.Deny,
			}}},
			`{"channels":{"chat.*":{"subscribe":true,"autoSubscribe":false,"alias":"al","getInfo":true,"omitFromSubCount":true,"umdUpdate":false,"historyStart":0}}}`,
		},
		"an event": {
			client.Claims{Channels: map[string]client.ChannelClaims{"c": {Messages: map[string]client.EventClaims{
				"#regex:^a$": {
					Publish: client.Allow, Broadcast: client.Deny, Echo: client.Allow, EmitPubSubEvent: client.Allow, Store: client.Forever,
					ScheduleBefore: soon, React: client.Reactions{Only: []string{"👍"}},
				},
				"b": {React: client.Reactions{Any: client.Allow}},
				"c": {React: client.Reactions{Any: client.Deny, Only: []string{"x"}}},
				"d": {React: client.Reactions{Only: []string{}}},
			}}}},
			`{"channels":{"c":{"messages":{"#regex:^a$":{"publish":true,"broadcast":false,"echo":true,"emitPubSubEvent":true,"store":-1,"react":["👍"],"scheduleBefore":1795345507},"b":{"react":true},"c":{"react":false},"d":{"react":[]}}}}}`,
		},
		"an entry": {
			client.Claims{Channels: map[string]client.ChannelClaims{"c": {Storage: map[string]client.EntryClaims{
				"k": {Observe: client.Allow, Get: client.Allow, Set: client.Deny, EmitPubSubEvent: client.Allow, Store: 5, ScheduleBefore: soon},
			}}}},
			`{"channels":{"c":{"storage":{"k":{"observe":true,"get":true,"set":false,"emitPubSubEvent":true,"store":5,"scheduleBefore":1795345507}}}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.claims.MarshalJSON()
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
			token, err := newIssuer(t, client.Config{IssuerPrivateKey: secret, IssuerKeyAlgorithm: "HS256"}).Issue(&c.claims)
			if err != nil || payload(t, token) != c.want {
				t.Errorf("the token says %s, %v, want %s", payload(t, token), err, c.want)
			}
		})
	}
	if text, err := json.Marshal(client.Permission(0)); err != nil || string(text) != "null" {
		t.Errorf("what is not said is %s, %v", text, err)
	}
	if _, err := (client.Claims{UMD: make(chan int)}).MarshalJSON(); err == nil {
		t.Error("a channel is metadata")
	}
}
