package tenancy

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// cross tries to reach b with all that a has. What is let in is a's alone.
func (p *run) cross(a, b *tenantApp) {
	p.Helper()
	n, channel := pick(p.Rand, p.nodes), pick(p.Rand, p.names)
	for _, by := range mouths {
		m := p.mark(a, by.on(a, channel))
		q := by.ask(p, a, m)
		q.host = b.host
		if by.named {
			q.path = strings.Replace(q.path, "/"+a.slug+"/", "/"+b.slug+"/", 1)
		}
		status, body, _ := n.ask(p, q)
		p.look(a, by.name+" on another's host", body)
		switch {
		case by.mute:
			p.said[m] = true // its key says whose it is
		case status != http.StatusForbidden && status != http.StatusUnauthorized:
			p.Errorf("%s by %s on the host of %s: %d %s", by.name, a.slug, b.slug, status, body)
		}
	}
	p.crossSockets(n, a, b, channel)
	p.crossConnections(n, a, b, channel)
	p.crossRecords(n, a, b, channel)
}

// crossSockets connects at b's doors with a's tokens.
func (p *run) crossSockets(n *node, a, b *tenantApp, channel string) {
	p.Helper()
	for i := range tongues {
		s := &tongues[i]
		d := pick(p.Rand, s.doors(b))
		if l, err := p.connects(s, n, a, a, d); err == nil {
			l.expects("")
			l.about += " at a door of " + b.slug
			if s.name == "hotsock" || d.path == "/ws" && d.host == "" {
				l.expects(channel) // the token says whose it is: it is in its own app
			}
			_ = s.join(l, a, channel)
			l.shut()
		}
	}
	private := "private:" + b.slug
	l, err := p.connects(&phoenixTongue, n, a, a, door{path: "/socket/websocket"})
	if err != nil {
		p.Fatal(err)
	}
	defer l.shut()
	if err := phoenixTongue.join(l, a, private); err == nil {
		p.Errorf("a token of %s opens %s", a.slug, private)
	}
}

// crossConnections uses a's connections, and names b's.
func (p *run) crossConnections(n *node, a, b *tenantApp, channel string) {
	p.Helper()
	mine, _ := p.caller(a)
	theirs, _ := p.caller(b)
	id, _ := theirs.names()
	_, secret := mine.names()
	q := url.Values{"connectionId": {id}, "connectionSecret": {secret}}.Encode()
	for _, call := range []string{"listMessages", "getChannelInfo", "publishMessage", "channelStorageGet", "channelStorageSet", "channelStorageList", "umdUpdate", "listReactions"} {
		status, body, _ := n.ask(p, ask{path: "/connection/" + call + "?" + q, body: fmt.Sprintf(`{"channel":%s,"key":"k","event":"e","data":1}`, quoted(channel))})
		p.look(a, call, body)
		if status != http.StatusUnauthorized {
			p.Errorf("%s by %s with a connection of %s: %d %s", call, a.slug, b.slug, status, body)
		}
	}
	status, body, _ := n.ask(p, ask{path: "/connections/disconnect", header: a.bearer(), body: fmt.Sprintf(`{"connectionId":%q}`, id)})
	if status != 202 || !strings.Contains(body, `"closed":0`) {
		p.Errorf("%s closes a connection of %s: %d %s", a.slug, b.slug, status, body)
	}
	token := b.token(p, everything("ann"))
	for _, say := range []string{
		`{"event":"hotsock.refresh","data":{"token":%q}}`, `{"event":"hotsock.umdUpdate","data":{"token":%q}}`,
	} {
		at := mine.say(fmt.Sprintf(say, token))
		if answer := mine.answered(at, "rror"); answer == "" {
			p.Errorf("%s takes a token of %s: %s", a.slug, b.slug, say)
		}
	}
	at := mine.say(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":%s,"data":{"token":%q}}`, quoted("none-"+channel), b.token(p, claims{
		"scope": "subscribe", "channels": map[string]any{"*": map[string]any{"subscribe": true}},
	})))
	if answer := mine.answered(at, "hotsock."); !strings.Contains(answer, "rror") {
		p.Errorf("a subscription of %s takes a token of %s: %s", a.slug, b.slug, answer)
	}
}

// crossRecords names b's messages and schedules.
func (p *run) crossRecords(n *node, a, b *tenantApp, channel string) {
	p.Helper()
	for _, on := range slices.Sorted(maps.Keys(p.ids[b.slug])) {
		id := pick(p.Rand, p.ids[b.slug][on])
		status, body, _ := n.ask(p, ask{path: "/publish", header: a.bearer(), body: fmt.Sprintf(
			`{"channel":%s,"event":"hotsock.messageReaction","data":{"messageId":%q,"reaction":"x","action":"add","uid":"ann"}}`, quoted(on), id)})
		p.look(a, "a reaction", body)
		if status == 202 {
			p.Errorf("%s reacts to a message of %s: %s", a.slug, b.slug, body)
		}
		if _, q := p.caller(a); q != "" {
			_, body, _ := n.ask(p, ask{path: "/connection/listMessages?" + q, body: fmt.Sprintf(`{"channel":%s,"after":%q}`, quoted(on), id)})
			p.look(a, "messages after another's", body)
			_, body, _ = n.ask(p, ask{path: "/connection/listReactions?" + q, body: fmt.Sprintf(`{"channel":%s,"messageId":%q}`, quoted(on), id)})
			p.look(a, "reactions to another's", body)
			if strings.Contains(body, `"r`) && strings.Contains(body, "mk-") {
				p.Errorf("%s reads reactions of %s: %s", a.slug, b.slug, body)
			}
		}
		late, err := p.connects(&hotsockTongue, n, a, a, door{path: "/v1"})
		if err != nil {
			p.Fatal(err)
		}
		late.expects("")
		late.expects(on)
		late.say(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":%s,"data":{"after":%q}}`, quoted(on), id))
		late.answered(0, `"hotsock.subscribed"`)
		p.fence(late, on)
	}
	_, body, _ := n.ask(p, ask{method: http.MethodGet, path: "/schedules", header: b.bearer()})
	var listed struct {
		Schedules []struct{ ID, ScheduleARN string }
	}
	if err := json.Unmarshal([]byte(body), &listed); err != nil {
		p.Fatalf("%v: %s", err, body)
	}
	for _, s := range listed.Schedules[:min(len(listed.Schedules), 1)] {
		for _, name := range []string{s.ID, s.ScheduleARN} {
			if status, body, _ := n.ask(p, ask{method: http.MethodDelete, path: "/schedules/" + url.PathEscape(name), header: a.bearer()}); status != http.StatusNotFound {
				p.Errorf("%s cancels a schedule of %s: %d %s", a.slug, b.slug, status, body)
			}
		}
	}
}

// fence publishes what a late client must hear, and then lets it go: whatever it
// was sent before has been looked through.
func (p *run) fence(l *listener, channel string) {
	p.Helper()
	m := p.mark(l.app, channel)
	p.publish(mouths[0], l.node, l.app, m)
	if err := l.hears(m); err != nil {
		p.Error(err)
	}
	l.shut()
}
