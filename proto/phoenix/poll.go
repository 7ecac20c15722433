package phoenix

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/longpoll"
	"github.com/earshot-io/earshot/proto"
)

// The times of long polls (B.6).
const (
	// pollTime is how long a poll waits, and sessionTime how long a session may be
	// without one.
	pollTime    = 10 * time.Second
	sessionTime = 15 * time.Second
	// postTime is how long a post waits for those before it.
	postTime = 10 * time.Second
)

// The statuses that answers have in their bodies (B.6); HTTP's own is 200.
const (
	pollOK        = http.StatusOK
	pollNothing   = http.StatusNoContent
	pollInvalid   = http.StatusBadRequest
	pollForbidden = http.StatusForbidden
	pollLate      = http.StatusRequestTimeout
	pollGone      = http.StatusGone
	pollTooLarge  = http.StatusRequestEntityTooLarge
	pollFailed    = http.StatusInternalServerError
)

// tokenHeader is where clients of 1.9 have the token that others have in the URL,
// and authHeader the token that a WebSocket's client offers as a subprotocol.
const (
	tokenHeader = "X-Phoenix-Longpoll-Token"
	authHeader  = "X-Phoenix-AuthToken"
)

// Polls are the sessions on HTTP long-polls, on whatever node they are.
type polls struct {
	p      *Protocol
	server *longpoll.Server
	stamp  stamp
	large  chan struct{} // held by posts that may be large
}

// newPolls makes the transport, and serves what other nodes are asked of its
// sessions.
func newPolls(p *Protocol) *polls {
	s := &polls{p: p, stamp: stamp{records: p.deps.Records}, large: make(chan struct{}, maxLarge)}
	s.server = longpoll.New(p.deps.Hub, polled{p}, longpoll.Config{
		Window: sessionTime, MaxSessions: p.config.Polls, Gate: p.deps.Gate, Enter: p.deps.Enter,
	})
	p.deps.Hub.ServeWaiting(callPoll, s.servePoll)
	p.deps.Hub.ServeWaiting(callPost, s.servePost)
	return s
}

// polled is the protocol as long polls have it.
type polled struct{ *Protocol }

// Admit is Protocol.Admit for the first poll: the token is in a header.
func (p polled) Admit(_ context.Context, r *proto.Request) (proto.Admission, error) {
	a, err := p.admit(r, r.HTTP.Header.Get(authHeader))
	if err == nil {
		a.State.(*hello).polled = true
	}
	return a, err
}

// Routes registers the paths of long polls.
func (p *Protocol) Routes(handle func(pattern string, h http.Handler)) {
	if p.polls != nil {
		handle("/socket/longpoll", p.polls)
		handle("/socket/{app}/longpoll", p.polls)
	}
}

// Run ends the sessions of long polls when the server stops.
func (p *Protocol) Run(ctx context.Context) {
	<-ctx.Done()
	if p.polls != nil {
		p.polls.server.Close()
	}
}

// ServeHTTP answers a request of a client (B.6).
func (s *polls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	defer s.survive(w, r)
	switch r.Method {
	case http.MethodGet:
		s.get(w, r)
	case http.MethodPost:
		s.post(w, r)
	case http.MethodOptions:
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
		}
		h.Set("Access-Control-Allow-Methods", "get, post, options")
		h.Set("Access-Control-Max-Age", "3600")
		w.WriteHeader(http.StatusOK)
	default:
		http.Error(w, "a long poll is a GET or POST request", http.StatusBadRequest)
	}
}

// survive is deferred around a request: whatever happens, the answer is one that
// clients understand. They wait for ever after JSON without a status.
func (s *polls) survive(w http.ResponseWriter, r *http.Request) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		s.p.deps.Log.Error("a long poll panicked", "method", r.Method, "panic", p, "stack", string(debug.Stack()))
		answerPoll(w, pollFailed, nil)
	}
}

// tokenOf is the token that a request shows, empty for none.
func tokenOf(r *http.Request) string {
	if token := r.URL.Query().Get("token"); token != "" {
		return token
	}
	return r.Header.Get(tokenHeader)
}

// get is a poll, or opens a session: without a token, with one that does not
// count, and where the session is gone.
func (s *polls) get(w http.ResponseWriter, r *http.Request) {
	token := tokenOf(r)
	t, ok, err := s.stamp.read(r.Context(), token, time.Now())
	if err != nil {
		answerPoll(w, pollFailed, nil)
		return
	}
	if !ok {
		s.open(w, r)
		return
	}
	b, err := s.poll(r.Context(), t)
	switch {
	case r.Context().Err() != nil:
		// Nobody is there any more.
	case err != nil && earshot.CodeOf(err) == earshot.Limited:
		answerPoll(w, pollFailed, nil)
	case err != nil, b.Over && len(b.Frames) == 0:
		s.open(w, r)
	case len(b.Frames) == 0:
		answerPoll(w, pollNothing, &polledBatch{token: token})
	default:
		answerPoll(w, pollOK, &polledBatch{token: token, version: t.version, frames: b.Frames})
	}
}

// open opens a session. That it answers 410 says "here is a new one" to a client
// that has none, and "it is gone" to one that has.
func (s *polls) open(w http.ResponseWriter, r *http.Request) {
	session, err := s.begin(r)
	if err != nil {
		status := pollFailed
		if no := (*proto.Refusal)(nil); errors.As(err, &no) || refuses(err) {
			status = pollForbidden
		}
		answerPoll(w, status, nil)
		return
	}
	t := ticket{node: s.p.deps.Hub.Node(), session: session.ID(), version: versionOf(r.URL.Query())}
	token, err := s.stamp.issue(r.Context(), t, time.Now())
	if err != nil {
		session.Leave(0, "")
		answerPoll(w, pollFailed, nil)
		return
	}
	answerPoll(w, pollGone, &polledBatch{token: token})
}

// begin opens a session for the app that path or host name.
func (s *polls) begin(r *http.Request) (*longpoll.Session, error) {
	apps := s.p.deps.Apps
	request := &proto.Request{HTTP: r, App: apps.ByHost(r.Host)}
	if slug := r.PathValue("app"); slug != "" {
		if request.App = apps.BySlug(slug); request.App == nil {
			return nil, errApp
		}
	}
	request.Remote, request.Secure = s.client(r)
	return s.server.Open(r.Context(), request)
}

func (s *polls) client(r *http.Request) (addr netip.Addr, secure bool) {
	if s.p.deps.Client == nil {
		return netip.Addr{}, r.TLS != nil
	}
	return s.p.deps.Client(r)
}

// refuses reports whether an error is a refusal that coming back does not change.
func refuses(err error) bool {
	switch earshot.CodeOf(err) {
	case earshot.Forbidden, earshot.Unauthenticated, earshot.NotFound, earshot.Invalid, earshot.Kicked:
		return true
	}
	return false
}

// A polledBatch is what an answer to a poll has besides its status.
type polledBatch struct {
	token   string
	version version
	frames  [][]byte
}

// answerPoll writes an answer. Clients of V1 make texts of its messages, so that
// theirs are objects; those of V2 have texts.
func answerPoll(w http.ResponseWriter, status int, b *polledBatch) {
	body := strconv.AppendInt([]byte(`{"status":`), int64(status), 10)
	if b != nil {
		body = quote(append(body, `,"token":`...), b.token)
		body = append(body, `,"messages":[`...)
		for i, f := range b.frames {
			if i > 0 {
				body = append(body, ',')
			}
			if b.version == v1 {
				body = append(body, f...)
			} else {
				body = quote(body, string(f))
			}
		}
		body = append(body, ']')
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '}')) // who is gone needs no answer
}
