package phoenix

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// What a join is sent of what was said before, where it asks for that and its app
// says nothing (A.10): so many messages, of so long ago at the most. Who says since
// when gets more of them.
const (
	historySize = 20
	historyTime = 5 * time.Minute
	sinceSize   = hub.MaxReplay
)

// asked is what a join's payload says of history.
type asked struct {
	// history is true or false, nil if nothing is said.
	history *bool
	// since is a moment, after the position of a message; zero for none.
	since time.Time
	after earshot.Position
	wrong bool
}

var errSince = &earshot.Error{Code: earshot.Invalid, Reason: "SINCE", Text: "since is neither a message's id nor milliseconds since 1970"}

// askedOf reads the members history and since of a join's payload. What since
// means has to come from somewhere else, as frames have no ids: it is one that the
// server's HTTP API or another protocol told, or a time.
func askedOf(history, since jsontext.Value) (a asked) {
	if k := history.Kind(); k == 't' || k == 'f' {
		yes := k == 't'
		a.history = &yes
	}
	var text string
	var ms int64
	switch since.Kind() {
	case 0, 'n':
	case '0':
		if a.wrong = json.Unmarshal(since, &ms) != nil || ms < 0; !a.wrong {
			a.since = time.UnixMilli(ms)
		}
	default:
		if since.Kind() != '"' || json.Unmarshal(since, &text) != nil {
			a.wrong = true
			break
		}
		id, err := earshot.ParseID(text)
		a.wrong, a.since, a.after = err != nil, id.Time(), id.Position()
	}
	return a
}

// replay is what a join of a channel is sent, nil for nothing: what it asks for, or
// what its app gives to all who do not decline.
func (a *asked) replay(app *earshot.App, channel string, now time.Time) *hub.Replay {
	explicit := a.history != nil && *a.history || !a.since.IsZero()
	declined := a.history != nil && !*a.history
	if app.Rule(channel).Live || declined || !explicit && app.Replay.Size <= 0 {
		return nil
	}
	r := &hub.Replay{Size: historySize, Since: now.Add(-historyTime)}
	if app.Replay.Size > 0 {
		r = &hub.Replay{Size: app.Replay.Size, Since: now.Add(-app.Replay.For)}
	}
	if a.since.IsZero() {
		return r
	}
	r.Size, r.After = max(r.Size, sinceSize), a.after
	if a.after.IsZero() && a.since.After(r.Since) {
		r.Since = a.since
	}
	return r
}

// keeping says that what is pushed to a channel is stored as long as its app
// replays it.
func keeping(app *earshot.App, channel string) (g earshot.Grant, ok bool) {
	kept := app.Replayed(channel)
	return earshot.Grant{
		Channel: earshot.Exact(channel), Events: []earshot.EventGrant{{Event: earshot.Glob("*"), Store: kept}},
	}, kept > 0
}
