package hotsock

import (
	"context"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// options are the data of a subscribe or a refresh.
type options struct {
	// token is a further token; hasToken tells an empty one from none.
	token    string
	hasToken bool
	// after is the id of the message to resume behind, nil for none.
	after *string
	// resume is a ticket to resume with, or empty to ask for one; nil for neither.
	resume *string
}

// resumes reports whether the subscribe is to go on where another one ended.
func (o *options) resumes() bool { return o.after != nil || o.resume != nil && *o.resume != "" }

// parseOptions reads data, which may be absent.
func parseOptions(data []byte) (o options, err error) {
	if data == nil || jsontext.Value(data).Kind() == 'n' {
		return o, nil
	}
	var in struct {
		Token  jsontext.Value `json:"token"`
		After  jsontext.Value `json:"after"`
		Resume jsontext.Value `json:"resume"`
	}
	if json.Unmarshal(data, &in) != nil {
		return o, malformed("data must be an object")
	}
	if in.Token != nil && in.Token.Kind() != 'n' {
		o.hasToken = true
		if json.Unmarshal(in.Token, &o.token) != nil {
			return o, &earshot.Error{Code: earshot.Unauthenticated, Reason: "TOKEN_MALFORMED", Text: "data.token must be a string"}
		}
	}
	if o.after, err = optionalText(in.After, "data.after"); err != nil {
		return o, err
	}
	o.resume, err = optionalText(in.Resume, "data.resume")
	return o, err
}

// optionalText reads a string; nil if it is absent or null.
func optionalText(v jsontext.Value, name string) (text *string, err error) {
	if v == nil || v.Kind() == 'n' {
		return nil, nil
	}
	text = new(string)
	if json.Unmarshal(v, text) != nil {
		return nil, malformed(name + " must be a string")
	}
	return text, nil
}

func (s *session) handleSubscribe(ctx context.Context, q *request) error {
	if q.channel == "" {
		return s.fail("", "", faultOf(errNoChannel))
	}
	o, err := parseOptions(q.data)
	if err != nil {
		return s.refuse(q.channel, nil, err)
	}
	return s.subscribe(ctx, q.channel, o, confirmation{})
}

// refuse answers a subscribe that failed.
func (s *session) refuse(name string, as *earshot.Identity, err error) error {
	channel, alias := s.real(name, as)
	return s.fail(channel, alias, subscribeFault(err))
}

var errSubscribed = &earshot.Error{Code: earshot.Conflict, Reason: alreadySubscribed, Text: "the connection is subscribed to this channel"}

// subscribe subscribes to the channel that a client calls name, and confirms
// before the first message. Whatever comes of it, there is one answer (R14).
func (s *session) subscribe(ctx context.Context, name string, o options, c confirmation) error {
	if channel, _ := s.real(name, nil); s.conn.Sub(channel) != nil {
		return s.refuse(name, nil, errSubscribed)
	}
	t, as, err := s.subscribeToken(o)
	if err != nil {
		return s.refuse(name, nil, err)
	}
	sub, err := s.spendAndJoin(ctx, name, t, as, o, &c)
	if err != nil {
		return s.refuse(name, as, err)
	}
	if err := s.send(subscribed(sub.Name(), aliasOf(sub), sub.Sender(), c)); err != nil {
		return err
	}
	// The client believes to hear all from here on: if that cannot be kept, it
	// must come back.
	err = s.observe(ctx, sub)
	if err == nil {
		err = sub.Start(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.conn.Close(err)
	}
	return nil
}

// spendAndJoin subscribes with a token that may be for one use. It is used up
// last, when nothing else can refuse it; but before others see a member who may
// not be one.
func (s *session) spendAndJoin(ctx context.Context, name string, t *auth.Token, as *earshot.Identity, o options, c *confirmation) (*hub.Sub, error) {
	spend := func() error {
		if t == nil || !t.Value.(*proof).singleUse {
			return nil
		}
		if err := s.p.deps.Tokens.Spend(ctx, t); err != nil {
			return invalidToken(err)
		}
		return nil
	}
	channel, _ := s.real(name, as)
	seen := strings.HasPrefix(channel, presence) && s.mayJoin(channel, as)
	if seen {
		if err := spend(); err != nil {
			return nil, err
		}
	}
	sub, err := s.join(ctx, channel, as, o, c)
	if err != nil || seen {
		return sub, err
	}
	if err := spend(); err != nil {
		s.conn.Unsubscribe(sub)
		return nil, err
	}
	return sub, nil
}

// mayJoin foretells whether the hub lets the client be present.
func (s *session) mayJoin(channel string, as *earshot.Identity) bool {
	id := s.conn.Identity()
	if as != nil {
		id = id.With(as)
	}
	terms := id.On(channel, "")
	open := s.conn.App().Rule(channel).Open &^ terms.Deny
	return id.UID != "" && (terms.Allow | open).Has(earshot.Subscribe)
}

// join subscribes, and fills in what the confirmation says of a resume and of
// who is present.
func (s *session) join(ctx context.Context, channel string, as *earshot.Identity, o options, c *confirmation) (*hub.Sub, error) {
	if err := checkChannel(channel); err != nil {
		return nil, err
	}
	j := hub.Join{Channel: channel, Encoding: s.p.encoding, As: as, Present: strings.HasPrefix(channel, presence)}
	known, err := s.resume(&j, &o)
	if err != nil {
		return nil, err
	}
	c.resumed = o.resumes()
	if alias := s.aliasFor(channel, as); alias != "" {
		j.Tag = alias
		s.aliased = s.aliased || as != nil
	}
	sub, exact, err := s.patiently(ctx, j)
	if err != nil {
		return nil, err
	}
	c.recovered = exact && known
	c.present, c.members = sub.Present(), sub.Members()
	if o.resume != nil {
		since := sub.Since()
		if !j.Since.IsZero() {
			since = j.Since
		}
		c.ticket = ticket{sub.Position(), since}.seal(s.conn.App(), sub.Identity(), channel)
	}
	return sub, nil
}

// resume says in j where to go on, and for how long the client has proof of
// being subscribed. It reports whether that place is known.
func (s *session) resume(j *hub.Join, o *options) (known bool, err error) {
	known = true
	if o.resume != nil && *o.resume != "" {
		who := s.conn.Identity()
		if j.As != nil {
			who = j.As
		}
		var t ticket
		if t, known = openTicket(*o.resume, s.conn.App(), who, j.Channel); known {
			j.After, j.Since = &t.at, t.since
		}
	}
	if o.after != nil {
		p, ok, err := after(*o.after)
		if err != nil {
			return false, err
		}
		j.After, known = &p, ok
	}
	return known, nil
}

// patience is how long a subscribe waits for a log that does not answer, and
// asksAgain how often it asks.
const (
	patience  = 30 * time.Second
	asksAgain = 500 * time.Millisecond
)

// patiently subscribes, and waits while the log cannot be asked. The client
// knows no answer after which it would try later: it takes a refusal for final,
// and a connection that is closed after it had opened it opens again at once
// (R3, R14).
func (s *session) patiently(ctx context.Context, j hub.Join) (sub *hub.Sub, exact bool, err error) {
	tries := time.NewTicker(asksAgain)
	defer tries.Stop()
	for until := time.Now().Add(patience); ; {
		sub, exact, err = s.conn.Subscribe(ctx, j)
		if err == nil || earshot.CodeOf(err) != earshot.Unavailable || time.Now().After(until) {
			return sub, exact, err
		}
		select {
		case <-tries.C:
		case <-ctx.Done():
			return nil, false, err
		}
	}
}

// after reads the place to resume behind: the id of a message, or "0" for the
// beginning of what is stored. An id that is no position, since its channel was
// a live one, is not known: what there is follows.
func after(text string) (p earshot.Position, known bool, err error) {
	if text == "0" {
		return earshot.Position{}, true, nil
	}
	id, err := earshot.ParseID(text)
	if err != nil {
		return p, false, malformed(`data.after is neither the id of a message nor "0"`)
	}
	p = id.Position()
	return p, !p.IsZero(), nil
}

func invalidToken(err error) error {
	e := *earshot.AsError(err)
	e.Code = earshot.Unauthenticated
	return &e
}

// subscribeToken verifies the token of a subscribe, if there is one, and
// returns who the subscription acts as.
func (s *session) subscribeToken(o options) (*auth.Token, *earshot.Identity, error) {
	if !o.hasToken {
		return nil, nil, nil
	}
	t, err := s.p.deps.Tokens.VerifyIn(s.conn.App(), o.token, s.p.reader)
	if err != nil {
		return nil, nil, invalidToken(err)
	}
	who := t.Value.(*proof)
	if who.scope&scopeSubscribe == 0 {
		return nil, nil, invalidToken(errScope("subscribe"))
	}
	if err := who.bound(s.conn); err != nil {
		return nil, nil, invalidToken(err)
	}
	return t, completed(&who.identity, s.conn.Identity()), nil
}

// completed is the identity of a subscription with its own token: its uid and
// umd are the token's if that has them, else the connection's.
func completed(id, now *earshot.Identity) *earshot.Identity {
	uid, umd := !id.HasUID && now.HasUID, id.Meta == nil && now.Meta != nil
	if !uid && !umd {
		return id
	}
	full := *id
	if uid {
		full.UID, full.HasUID = now.UID, true
	}
	if umd {
		full.Meta = now.Meta
	}
	return &full
}
