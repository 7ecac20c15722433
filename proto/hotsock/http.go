package hotsock

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// pageMessages and pageBytes bound one answer of listMessages (spec §5).
	pageMessages = 100
	pageBytes    = 1 << 20
	// maxBody is how large the body of a request may be.
	maxBody = 64 << 10
	// httpTimeout is how long a request may take (spec §5).
	httpTimeout = 5 * time.Second
)

// Routes registers the client's HTTP API (spec §5).
func (p *Protocol) Routes(handle func(pattern string, h http.Handler)) {
	handle("POST /connection/listMessages", p.endpoint(p.listMessages))
	handle("OPTIONS /connection/listMessages", http.HandlerFunc(preflight))
}

// cors lets pages of any origin read the answer: what may be asked is in the
// query, and no cookie counts.
func cors(h http.Header) { h.Set("Access-Control-Allow-Origin", "*") }

func preflight(w http.ResponseWriter, _ *http.Request) {
	cors(w.Header())
	w.Header().Set("Access-Control-Allow-Methods", "POST")
	w.Header().Set("Access-Control-Allow-Headers", "Content-Type, *")
	w.Header().Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

// endpoint answers a POST of the client's HTTP API: the body is JSON whatever
// its Content-Type says, since scripts send none to spare the preflight.
func (p *Protocol) endpoint(serve func(ctx context.Context, c *hub.Conn, body []byte) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), httpTimeout)
		defer cancel()
		cors(w.Header())
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		answer, done, err := p.serve(ctx, w, r, serve)
		defer done()
		if err != nil {
			if ctx.Err() != nil {
				err = &earshot.Error{Code: earshot.Unavailable, Text: "there was no answer in time", Err: err}
			}
			w.WriteHeader(translate(earshot.CodeOf(err)).status)
			answer = errorBody(err)
		}
		_, _ = w.Write(answer) // a client that has gone needs no answer
	})
}

// serve makes the answer; done is to be called when the client has taken it.
func (p *Protocol) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, serve func(context.Context, *hub.Conn, []byte) ([]byte, error)) (answer []byte, done func(), err error) {
	done = func() {}
	c, err := p.authenticate(r)
	if err != nil {
		return nil, done, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, done, earshot.Errorf(earshot.TooLarge, "the body is larger than 64 KiB")
	case err != nil:
		return nil, done, malformed("the body could not be read")
	}
	done, ok := p.turns.take(ctx, c.ID())
	if !ok {
		return nil, done, context.Cause(ctx)
	}
	answer, err = serve(ctx, c, body)
	return answer, done, err
}

// authenticate finds the connection that a request speaks for. That it is not
// there and that the secret is wrong look the same.
func (p *Protocol) authenticate(r *http.Request) (*hub.Conn, error) {
	wrong := &earshot.Error{Code: earshot.Unauthenticated, Reason: "CONNECTION", Text: "connectionId and connectionSecret are not those of an open connection"}
	q := r.URL.Query()
	id, ok := earshot.ParseConnID(q.Get("connectionId"))
	if !ok || subtle.ConstantTimeCompare([]byte(q.Get("connectionSecret")), []byte(p.secret(id))) != 1 {
		return nil, wrong
	}
	c := p.deps.Hub.Conn(id)
	if c == nil || c.Err() != nil || c.Identity() == nil {
		return nil, wrong
	}
	return c, nil
}

// A listing is the body of listMessages.
type listing struct {
	Channel *string `json:"channel"`
	After   *string `json:"after"`
	Before  *string `json:"before"`
	Reverse *bool   `json:"reverse"`
}

// listMessages answers with stored messages of a channel, oldest first unless
// reversed (spec §5).
func (p *Protocol) listMessages(ctx context.Context, c *hub.Conn, body []byte) ([]byte, error) {
	var l listing
	if err := json.Unmarshal(body, &l); err != nil {
		return nil, explainBody(body, err)
	}
	if l.Channel == nil || *l.Channel == "" {
		return nil, malformed("channel is missing")
	}
	r := hub.Range{Limit: pageMessages, Bytes: pageBytes, Reverse: isTrue(l.Reverse)}
	bound, from := &r.After, l.After
	if r.Reverse {
		bound, from = &r.Before, l.Before
	}
	if err := boundBy(bound, from); err != nil {
		return nil, err
	}
	channel, _ := realName(c, *l.Channel, nil, true)
	messages, err := history(ctx, c, channel, r)
	if err != nil {
		return nil, err
	}
	return listed(messages), nil
}

// explainBody says what is wrong with a body.
func explainBody(body []byte, err error) error {
	var wrong *json.SemanticError
	switch {
	case !jsontext.Value(body).IsValid():
		return explain(body, err)
	case errors.As(err, &wrong) && wrong.JSONPointer != "":
		return malformed("the member " + string(wrong.JSONPointer)[1:] + " has the wrong type")
	}
	return errNotObject
}

// boundBy sets a bound to the id of a message; none or an empty one is no bound.
func boundBy(bound *earshot.Position, text *string) error {
	if text == nil || *text == "" {
		return nil
	}
	id, err := earshot.ParseID(*text)
	if err != nil {
		return malformed("after and before are ids of messages")
	}
	*bound = id.Position()
	return nil
}

// history reads one page. A page that is short without being the last would be
// taken for the last, so the log is asked again until the page is full.
func history(ctx context.Context, c *hub.Conn, channel string, r hub.Range) ([]*earshot.Message, error) {
	var all []*earshot.Message
	for {
		page, err := c.History(ctx, channel, r)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Messages...)
		for _, m := range page.Messages {
			r.Bytes -= len(m.Data) + len(m.Event)
		}
		r.Limit -= len(page.Messages)
		if !page.More || len(page.Messages) == 0 || r.Limit <= 0 || r.Bytes <= 0 {
			return all, nil
		}
		last := page.Messages[len(page.Messages)-1].ID.Position()
		if r.Reverse {
			r.Before = last
		} else {
			r.After = last
		}
	}
}

// listed renders messages as history shows them.
func listed(messages []*earshot.Message) []byte {
	size := 32
	for _, m := range messages {
		size += 192 + len(m.Channel) + len(m.Event) + len(m.Data)
	}
	b := append(make([]byte, 0, size), `{"messages":[`...)
	for i, m := range messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = message(b, m, true)
	}
	return append(b, "]}"...)
}
