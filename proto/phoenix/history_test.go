package phoenix

import (
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// TestReplayOf is the table of A.10's short history.
func TestReplayOf(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	id := earshot.NewID(now.Add(-time.Minute), earshot.Position{Epoch: 1, Seq: 7})
	alive := earshot.NewID(now.Add(-time.Minute), earshot.Position{})
	silent := &earshot.App{Slug: "a"}
	replays := &earshot.App{Slug: "a", Replay: earshot.Replay{Size: 3, For: time.Hour}}
	short := hub.Replay{Size: 20, Since: now.Add(-5 * time.Minute)}
	own := hub.Replay{Size: 3, Since: now.Add(-time.Hour)}
	for _, c := range []struct {
		app     *earshot.App
		payload string
		want    *hub.Replay
		wrong   bool
	}{
		{silent, `{}`, nil, false},
		{silent, `{"history":"yes"}`, nil, false},
		{silent, `{"history":null,"since":null}`, nil, false},
		{silent, `{"history":true}`, &short, false},
		{silent, `{"history":false,"since":0}`, nil, false},
		{silent, `{"since":1699999990000}`, &hub.Replay{Size: 256, Since: now.Add(-10 * time.Second)}, false},
		{silent, `{"since":0}`, &hub.Replay{Size: 256, Since: short.Since}, false},
		{silent, `{"since":"` + id.String() + `"}`, &hub.Replay{Size: 256, Since: short.Since, After: id.Position()}, false},
		{silent, `{"since":"` + alive.String() + `"}`, &hub.Replay{Size: 256, Since: now.Add(-time.Minute)}, false},
		{silent, `{"since":-1}`, nil, true},
		{silent, `{"since":1.5}`, nil, true},
		{silent, `{"since":true}`, nil, true},
		{silent, `{"since":{}}`, nil, true},
		{silent, `{"since":"soon"}`, nil, true},
		{replays, `{}`, &own, false},
		{replays, `{"history":true}`, &own, false},
		{replays, `{"history":false}`, nil, false},
		{replays, `{"since":0}`, &hub.Replay{Size: 256, Since: own.Since}, false},
	} {
		a := optionsOf(&frame{payload: []byte(c.payload)}).asked
		if a.wrong != c.wrong {
			t.Errorf("%s is wrong: %v", c.payload, a.wrong)
		}
		if c.wrong {
			continue
		}
		got := a.replay(c.app, "logged", now)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", c.payload, got, c.want)
		}
		if got := a.replay(c.app, "room:live", now); got != nil {
			t.Errorf("%s of a live topic: %+v", c.payload, got)
		}
	}
}

// TestKeeping: what is pushed is stored as long as its app replays it, and nothing
// more is permitted by that.
func TestKeeping(t *testing.T) {
	replays := &earshot.App{Slug: "a", Replay: earshot.Replay{Size: 3, For: time.Hour}}
	g, ok := keeping(replays, "log")
	who := earshot.Identity{Grants: []earshot.Grant{g}}
	if got := who.On("log", "any event"); !ok || got.Store != time.Hour || got.Allow != 0 {
		t.Errorf("%+v, %v", got, ok)
	}
	if got := who.On("other", "any event"); got.Store != 0 {
		t.Errorf("another channel: %+v", got)
	}
	for channel, a := range map[string]*earshot.App{"room:live": replays, "log": {Slug: "a"}} {
		if g, ok := keeping(a, channel); ok {
			t.Errorf("%s: %+v", channel, g)
		}
	}
}
