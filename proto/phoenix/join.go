package phoenix

import (
	"context"
	"slices"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// join joins a topic (B.4). A join of the same topic before it ends, and its
// close comes behind the answer, with its own reference.
func (s *session) join(ctx context.Context, f *frame) {
	if f.join == "" {
		f.join = f.ref // V1 clients of before 1.3 send none
	}
	v, channel := s.hello.version, channelOf(f.topic)
	var closed []*hub.Frame
	if old := s.conn.Sub(channel); old != nil {
		s.conn.Unsubscribe(old)
		closed = append(closed, v.closed(joinOf(old), f.topic))
	}
	sub, response, err := s.enter(ctx, f, channel)
	if err != nil {
		s.refuse(f, response)
		s.send(closed...)
		return
	}
	frames := append([]*hub.Frame{v.reply(f.join, f.ref, f.topic, statusOK, response)}, closed...)
	if sub.Present() {
		frames = append(frames, v.text(f.join, "", f.topic, presenceState, stateOf(sub.Members())))
	}
	s.send(frames...)
	_ = sub.Start(ctx) // it has closed the connection if it fails
}

// refuse answers a join that was refused. An unmatched topic has no join (B.4).
func (s *session) refuse(f *frame, response []byte) {
	join := f.join
	if string(response) == string(because(unmatched)) {
		join = ""
	}
	s.reply(join, f, statusBad, response)
}

var (
	errTooMany = earshot.Errorf(earshot.Limited, "too many channels joined")
	errApp     = earshot.Errorf(earshot.NotFound, "unknown app")
	errOther   = earshot.Errorf(earshot.NotFound, "the socket is of another app")
	errOrigin  = earshot.Errorf(earshot.Forbidden, "origin not allowed")
	errPlain   = earshot.Errorf(earshot.Forbidden, "tls required")
)

// enter subscribes to a topic's channel, or says in the response why not.
func (s *session) enter(ctx context.Context, f *frame, channel string) (*hub.Sub, []byte, error) {
	if err := earshot.CheckChannel(channel); err != nil {
		return nil, because(unmatched), err
	}
	if len(s.conn.Subs()) >= s.p.config.Channels {
		return nil, because(errTooMany.Text), errTooMany
	}
	if err := s.settle(f.topic); err != nil {
		return nil, because(reasonOf(err)), err
	}
	o := optionsOf(f)
	if o.asked.wrong {
		return nil, because(errSince.Text), errSince
	}
	as, broken := s.proof(o.shown.or(s.hello.shown))
	if s.openTo(f.topic) {
		as = s.widened(as, opened(f.topic)...)
	}
	if kept, ok := keeping(s.conn.App(), channel); ok {
		as = s.widened(as, kept)
	}
	present := isPresence(f.topic, o.presence)
	sub, _, err := s.conn.Subscribe(ctx, hub.Join{
		Channel: channel, Encoding: s.p.encoding(s.hello, present), Tag: membership{f.join}, As: as, Present: present, Apart: present && isApart(f.topic),
		Replay: o.asked.replay(s.conn.App(), channel, time.Now()),
	})
	if err != nil {
		return nil, s.refused(f.topic, err, broken), err
	}
	return sub, s.welcome(sub), nil
}

// widened adds grants to the proof of a join; where it has none of its own, to who
// the connection is.
func (s *session) widened(as *earshot.Identity, more ...earshot.Grant) *earshot.Identity {
	var wider earshot.Identity
	if as != nil {
		wider = *as
	} else {
		wider = *s.conn.Identity()
		wider.Grants, wider.Expires = nil, time.Time{} // the connection's count beside these
	}
	wider.Grants = append(slices.Clone(wider.Grants), more...)
	return &wider
}

// welcome is the response of a join: a topic that is open to all says nothing, one
// that a token opens that the client is in (A.7.1).
func (s *session) welcome(sub *hub.Sub) []byte {
	open := s.openTo(sub.Name()) || s.conn.App().Rule(sub.Name()).Open.Has(earshot.Subscribe)
	if !open && sub.Identity().On(sub.Name(), "").Allow.Has(earshot.Subscribe) {
		return []byte(`{"message":"Joined"}`)
	}
	return []byte("{}")
}

// openTo reports whether the setting of open public topics opens a topic.
func (s *session) openTo(topic string) bool {
	return s.p.config.OpenPublic && isPublic(topic) && slugOf(topic) != s.conn.App().Slug
}

// refused is refusedJoin, but for a public topic that names no app.
func (s *session) refused(topic string, err, broken error) []byte {
	nobody := isPublic(topic) && s.p.deps.Apps.BySlug(slugOf(topic)) == nil
	if e := earshot.AsError(err); nobody && e.Code == earshot.Forbidden && e.Reason == "" {
		return because(errApp.Text)
	}
	return refusedJoin(err, broken)
}

// proof is who a token says that the client is, on the topic that it joins. A
// token that does not hold proves nothing; the error says why. Who has shown
// nothing at all hears what it publishes.
func (s *session) proof(shown shown) (as *earshot.Identity, broken error) {
	if shown.jwt != "" {
		if as, broken = s.judge(shown); as != nil {
			return as, nil
		}
	}
	if s.hello.settled {
		return nil, broken
	}
	as = anybody(s.conn.App())
	as.Grants = []earshot.Grant{hearsItself()}
	return as, broken
}

// judge verifies a join's token. One that names no user is of the connection's.
func (s *session) judge(shown shown) (*earshot.Identity, error) {
	a := s.conn.App()
	t, err := s.p.deps.Tokens.VerifyIn(a, shown.jwt, s.p.reader)
	if err == nil {
		err = over(t)
	}
	if err != nil {
		return nil, err
	}
	p := t.Value.(*proof)
	if err := p.bound(a, shown.opaque); err != nil {
		return nil, err
	}
	now := s.conn.Identity()
	if p.identity.HasUID || !now.HasUID {
		return &p.identity, nil
	}
	full := p.identity
	full.UID, full.HasUID, full.Meta = now.UID, true, now.Meta
	return &full, nil
}

// settle makes the app of a topic the connection's: the one that the topic's
// second part names, else the one that the connection came with, else the default
// app. A connection is of one app at a time: it changes while nothing is joined,
// and not if its own token has said which one it is.
func (s *session) settle(topic string) error {
	now := s.conn.App()
	a := s.p.deps.Apps.BySlug(slugOf(topic))
	if a == nil {
		a = now
	}
	if a == nil {
		a = s.p.deps.Apps.Default()
	}
	switch {
	case a == nil:
		return errApp
	case now != nil && now.Slug == a.Slug:
		return s.checkWay(a)
	case s.hello.settled || len(s.conn.Subs()) > 0:
		return errOther
	}
	if err := s.checkWay(a); err != nil {
		return err
	}
	s.conn.Enter(a, anybody(a))
	return nil
}

// checkWay judges by the app that a client joins how it came, since nobody knew
// the app at the handshake (A.10).
func (s *session) checkWay(a *earshot.App) error {
	switch err := s.p.deps.Gate.Admit(a, s.hello.by); {
	case err == nil:
		return nil
	case s.hello.by.Secure || !a.RequireTLS:
		return errOrigin
	}
	return errPlain
}
