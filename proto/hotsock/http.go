package hotsock

import (
	"context"
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
	// maxBody is how large the body of a request may be.
	maxBody = 64 << 10
	// httpTimeout is how long a request may take (spec §5).
	httpTimeout = 5 * time.Second
)

// An endpoint is one call of the client's HTTP API (spec §5).
type endpoint struct {
	// name is what comes after /connection/ in its path.
	name string
	// status is how success is answered.
	status int
	// writes says that the outcome is not known if there is no answer in time.
	writes bool
	// serve makes the answer, a JSON value.
	serve func(ctx context.Context, q *call) ([]byte, error)
}

// endpoints are all calls. Each is in the file of its subject.
func (p *Protocol) endpoints() []endpoint {
	return []endpoint{
		{name: "listMessages", status: http.StatusOK, serve: p.listMessages},
		{name: "getChannelInfo", status: http.StatusOK, serve: p.getChannelInfo},
		{name: "umdUpdate", status: http.StatusOK, writes: true, serve: p.umdUpdate},
		{name: "publishMessage", status: http.StatusAccepted, writes: true, serve: p.publishMessage},
		{name: "listReactions", status: http.StatusOK, serve: p.listReactions},
		{name: "channelStorageGet", status: http.StatusOK, serve: p.channelStorageGet},
		{name: "channelStorageSet", status: http.StatusAccepted, writes: true, serve: p.channelStorageSet},
		{name: "channelStorageList", status: http.StatusOK, serve: p.channelStorageList},
	}
}

// Routes registers the client's HTTP API (spec §5).
func (p *Protocol) Routes(handle func(pattern string, h http.Handler)) {
	for _, e := range p.endpoints() {
		handle("POST /connection/"+e.name, p.edge(e))
		handle("OPTIONS /connection/"+e.name, http.HandlerFunc(preflight))
	}
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

// edge answers a POST of the client's HTTP API: the body is JSON whatever its
// Content-Type says, since scripts send none to spare the preflight (R22).
func (p *Protocol) edge(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), httpTimeout)
		defer cancel()
		cors(w.Header())
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		q, done, err := p.receive(ctx, w, r, e.name)
		defer done()
		status, answer := 0, []byte(nil)
		if err != nil {
			status, answer = refused(ctx, &e, err)
		} else {
			status, answer = p.answer(ctx, &e, q)
		}
		w.WriteHeader(status)
		_, _ = w.Write(answer) // a client that has gone needs no answer
	})
}

// refused is the answer to a request that failed.
func refused(ctx context.Context, e *endpoint, err error) (status int, body []byte) {
	switch {
	case ctx.Err() == nil || earshot.CodeOf(err) == earshot.Unknown:
	case e.writes:
		err = &earshot.Error{Code: earshot.Unknown, Text: "there was no answer in time; it may have been carried out", Err: err}
	default:
		err = &earshot.Error{Code: earshot.Unavailable, Text: "there was no answer in time", Err: err}
	}
	return translate(earshot.CodeOf(err)).status, errorBody(err)
}

// receive reads a request. Done is to be called when the client has taken the
// answer: until then it holds up the requests behind it of the same client.
func (p *Protocol) receive(ctx context.Context, w http.ResponseWriter, r *http.Request, name string) (q *question, done func(), err error) {
	done = func() {}
	v := r.URL.Query()
	id, ok := earshot.ParseConnID(v.Get("connectionId"))
	secret := v.Get("connectionSecret")
	if !ok || len(secret) != secretLen {
		return nil, done, errNotTheirs
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, done, earshot.Errorf(earshot.TooLarge, "the body is larger than 64 KiB")
	case err != nil:
		return nil, done, malformed("the body could not be read")
	}
	// Who does not know the secret takes no turns of who does.
	done, ok = p.turns.take(ctx, turnOf{id, secret})
	if !ok {
		return nil, done, context.Cause(ctx)
	}
	q = &question{Endpoint: name, Secret: secret, Body: body, Request: newRequestID(), UserAgent: hub.UserAgent(r.UserAgent()), id: id}
	q.Secure = r.TLS != nil
	if p.deps.Client != nil {
		q.Remote, q.Secure = p.deps.Client(r)
	}
	return q, done, nil
}

// A call is one request of the client's HTTP API on the node that holds the
// connection, whose client has shown the secret.
type call struct {
	conn *hub.Conn
	// body is what was posted, at most 64 KiB.
	body []byte
	// origin is for events.
	origin *hub.Origin
}

// read reads the body strictly: one JSON object in which a name occurs once,
// and known members have their types.
func (q *call) read(into any) error {
	if err := json.Unmarshal(q.body, into); err != nil {
		return explainBody(q.body, err)
	}
	return nil
}

// channel returns the channel that a body names, by its name or by an alias.
func (q *call) channel(name *string) (string, error) {
	if name == nil || *name == "" {
		return "", errNoChannel
	}
	channel, _ := realName(q.conn, *name, nil, true)
	return channel, checkChannel(channel)
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
