package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth/sigv4"
	"github.com/go-json-experiment/json"
)

const (
	// service is what requests are signed for.
	service = "execute-api"
	// connectionsSegment and channelsSegment stand in the paths of the management
	// API behind the stage.
	connectionsSegment = "@connections"
	channelsSegment    = "@channels"
	// drainBody is how much of too large a body is read, so that its sender hears
	// why it was refused.
	drainBody = 4 << 20
	// manageTime bounds one request.
	manageTime = 20 * time.Second
)

// Wrap answers requests to the management API (9), and those who visit a stage
// without an upgrade. It stands before any ServeMux, which would redirect paths
// with two slashes.
func (p *Protocol) Wrap(next http.Handler) http.Handler {
	mux, _ := next.(*http.ServeMux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.manage(w, r) && !p.visit(w, r, mux) {
			next.ServeHTTP(w, r)
		}
	})
}

// visit answers a GET of a stage without an upgrade (3.1). On a host that is not an
// API's own, what the mux has goes first; nil has nothing.
func (p *Protocol) visit(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) (handled bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if at, _ := p.locate(r); at.stage == nil {
		return false
	}
	if mux != nil && !p.ownHost(r.Host) {
		if _, pattern := mux.Handler(r); pattern != "" && pattern != "/" {
			return false
		}
	}
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUpgradeRequired)
	_, _ = w.Write(notice{Message: "Upgrade Required"}.json()) // a client that has gone need not be told
	return true
}

// manage answers a request whose path has a segment of the management API behind
// at most two others, if an app with APIs is meant.
func (p *Protocol) manage(w http.ResponseWriter, r *http.Request) (handled bool) {
	if !strings.Contains(r.URL.Path, connectionsSegment) && !strings.Contains(r.URL.Path, channelsSegment) {
		return false
	}
	segments, ok := split(r.URL)
	at := slices.IndexFunc(segments, func(s string) bool { return s == connectionsSegment || s == channelsSegment })
	if !ok || at < 0 || at > 3 {
		return false
	}
	found, claimed := p.resolve(r.Host, segments[:at])
	if !claimed {
		return false
	}
	q := &request{p: p, w: w, r: r, place: found, path: segments[at:], id: requestID()}
	w.Header().Set("X-Amzn-Requestid", q.id)
	if err := q.serve(); err != nil {
		q.refuse(err)
	}
	return true
}

// A request is one of the management API.
type request struct {
	p *Protocol
	w http.ResponseWriter
	r *http.Request
	place
	path []string // from @connections or @channels on
	id   string
	body []byte
	// once names the attempts of one call of an SDK; empty if it does not say.
	once string
}

func (q *request) serve() error {
	if q.stage == nil {
		return exceptionFor(http.StatusForbidden, "ForbiddenException", textForbidden)
	}
	if err := q.authenticate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(q.r.Context(), manageTime)
	defer cancel()
	switch n := len(q.path); {
	case q.path[0] == channelsSegment && n == 2:
		return q.publish(ctx, q.path[1])
	case q.path[0] == connectionsSegment && n == 2:
		return q.connection(ctx, q.path[1])
	case q.path[0] == connectionsSegment && n == 4 && q.path[2] == channelsSegment:
		return q.subscription(ctx, q.path[1], q.path[3])
	}
	return errNoOperation
}

// authenticate finds out who signed the request, and reads the body, which is part
// of what is signed (9.2).
func (q *request) authenticate() error {
	if err := q.p.deps.Gate.Request(q.r, q.app); err != nil {
		return exceptionFor(http.StatusForbidden, "ForbiddenException", textForbidden)
	}
	signature, err := sigv4.Parse(q.r)
	if err != nil {
		return err
	}
	if _, key := q.p.deps.Apps.ByAccessKey(signature.KeyID); key == nil {
		return sigv4.ErrUnknownKey()
	}
	if err := q.read(); err != nil {
		return err
	}
	app, key := q.p.deps.Apps.ByAccessKey(signature.KeyID)
	if key == nil {
		return sigv4.ErrUnknownKey() // it was taken away while the body came
	}
	if err := signature.Verify(q.r, q.body, key.Secret, time.Now(), sigv4.Policy{Service: service, RawPath: true}); err != nil {
		return err
	}
	what := q.r.Method + "/" + strings.Join(q.path, "/")
	if app.Slug != q.app.Slug || !allows(key, earshot.ManageConnections, q.stage, what) {
		return exceptionFor(http.StatusForbidden, "AccessDeniedException",
			"User: "+key.ID+" is not authorized to perform: "+earshot.ManageConnections+" on resource: "+q.stage.API.ARN(q.stage.Name, what))
	}
	if id := q.r.Header.Get("Amz-Sdk-Invocation-Id"); len(id) <= 128 {
		q.once = id
	}
	return nil
}

// read reads the body.
func (q *request) read() (err error) {
	q.body, err = io.ReadAll(io.LimitReader(q.r.Body, maxData+1))
	if err != nil {
		return exceptionFor(http.StatusBadRequest, badRequest, "The request body could not be read")
	}
	if len(q.body) > maxData {
		_, _ = io.CopyN(io.Discard, q.r.Body, drainBody) // it was refused already
		return errTooLong
	}
	return nil
}

// connection answers a request about one connection.
func (q *request) connection(ctx context.Context, name string) error {
	o := order{Op: opGet}
	switch q.r.Method {
	case http.MethodPost:
		binary, err := q.binary()
		if err != nil {
			return err
		}
		o = order{Op: opPost, Data: q.body, Binary: binary, Once: q.once}
	case http.MethodDelete:
		var err error
		if o, err = closeOrder(q.r.URL.Query()); err != nil {
			return err
		}
	case http.MethodGet:
	default:
		return errNoOperation
	}
	answer, err := q.send(ctx, name, &o)
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/json")
	switch o.Op {
	case opDelete:
		q.w.WriteHeader(http.StatusNoContent)
	case opGet:
		_, _ = q.w.Write(answer) // a client that has gone need not be told
	}
	return nil
}

// binary says in what kind of frame the body goes (9.5).
func (q *request) binary() (bool, error) {
	text := utf8.Valid(q.body)
	switch kind := q.r.Header.Get("X-Frame-Type"); {
	case kind == "":
		return !text, nil
	case strings.EqualFold(kind, "binary"):
		return true, nil
	case strings.EqualFold(kind, "text") && text:
		return false, nil
	case strings.EqualFold(kind, "text"):
		return false, exceptionFor(http.StatusBadRequest, badRequest, "The data is not UTF-8, so it cannot be a text")
	}
	return false, exceptionFor(http.StatusBadRequest, badRequest, "X-Frame-Type is text or binary")
}

// subscription has a connection join or leave a channel.
func (q *request) subscription(ctx context.Context, name, channel string) error {
	o := order{Op: opLeave, Channel: channel}
	switch q.r.Method {
	case http.MethodPut:
		o.Op = opJoin
		switch q.r.URL.Query().Get("envelope") {
		case "true":
			o.Envelope = true
		case "", "false":
		default:
			return exceptionFor(http.StatusBadRequest, badRequest, "envelope is true or false")
		}
	case http.MethodDelete:
	default:
		return errNoOperation
	}
	if err := earshot.CheckChannel(channel); err != nil {
		return err
	}
	if _, err := q.send(ctx, name, &o); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// send has an order carried out by the node that holds the connection.
func (q *request) send(ctx context.Context, name string, o *order) ([]byte, error) {
	id, ok := earshot.ParseConnID(name)
	if !ok {
		return nil, exceptionFor(http.StatusBadRequest, badRequest, "Invalid connectionId: "+name)
	}
	o.App, o.API, o.Stage = q.app.Slug, q.stage.API.ID, q.stage.Name
	return q.p.order(ctx, id, o)
}

// The exceptions of this API, beside those of signatures (9.4).
const badRequest = "BadRequestException"

var (
	errNoOperation = exceptionFor(http.StatusForbidden, "ForbiddenException", textForbidden)
	errTooLong     = exceptionFor(http.StatusRequestEntityTooLarge, "PayloadTooLargeException", reasonLarge)
)

// An exception is an error as AWS's SDKs know it.
type exception struct {
	status     int
	name, text string
}

// Error returns name and text.
func (e *exception) Error() string { return e.name + ": " + e.text }

func exceptionFor(status int, name, text string) error { return &exception{status, name, text} }

// translate finds the exception of an error (9.4).
func translate(err error) *exception {
	var x *exception
	if errors.As(err, &x) {
		return x
	}
	e := earshot.AsError(err)
	if name := sigv4.Exception(e.Reason); name != "" {
		return &exception{http.StatusForbidden, name, e.Text}
	}
	switch e.Code {
	case earshot.NotFound, earshot.Kicked, earshot.Expired:
		return &exception{http.StatusGone, "GoneException", "Gone"}
	case earshot.TooLarge:
		return errTooLong.(*exception)
	case earshot.Limited, earshot.Slow:
		return &exception{http.StatusTooManyRequests, "LimitExceededException", "Limit exceeded"}
	case earshot.Invalid:
		return &exception{http.StatusBadRequest, badRequest, e.Text}
	case earshot.Conflict:
		return &exception{http.StatusConflict, "ConflictException", e.Text}
	case earshot.Unauthenticated, earshot.Forbidden:
		return &exception{http.StatusForbidden, "ForbiddenException", textForbidden}
	case earshot.Unavailable, earshot.Full, earshot.Unknown, earshot.Shutdown, earshot.Timeout:
		return &exception{http.StatusServiceUnavailable, "InternalServerErrorException", textInternal}
	}
	return &exception{http.StatusInternalServerError, "InternalServerErrorException", textInternal}
}

// refuse answers with an exception. What is our own fault is logged, with its cause.
func (q *request) refuse(err error) {
	x := translate(err)
	body := notice{Message: x.text}
	if x.status == http.StatusRequestEntityTooLarge {
		body.RequestID = q.id
		if len(q.path) > 1 && q.path[0] == connectionsSegment {
			body.ConnectionID = q.path[1]
		}
	}
	if x.status >= http.StatusInternalServerError {
		q.p.deps.Log.Error("a management request failed", "method", q.r.Method, "status", x.status, "err", err)
	}
	b, failed := json.Marshal(&body)
	if failed != nil {
		b = []byte("{}") // a name that is no text
	}
	q.w.Header().Set("X-Amzn-Errortype", x.name)
	q.w.Header().Set("Content-Type", "application/json")
	q.w.WriteHeader(x.status)
	_, _ = q.w.Write(b) // a client that has gone need not be told
}

// closeOrder reads the code and reason that a DELETE asks for, which is Earshot's
// own (9.5).
func closeOrder(q url.Values) (order, error) {
	o := order{Op: opDelete, Code: closeNormal, Reason: reasonNormal}
	if text := q.Get("code"); text != "" {
		if _, err := fmt.Sscanf(text, "%4d", &o.Code); err != nil || fmt.Sprint(o.Code) != text || !mayClose(o.Code) {
			return o, exceptionFor(http.StatusBadRequest, badRequest, "code is 1000, 1001, 1008, 1011 to 1013, or 3000 to 4999")
		}
		o.Reason = ""
	}
	if q.Has("reason") {
		if o.Reason = q.Get("reason"); len(o.Reason) > maxReason || !isText(o.Reason) {
			return o, exceptionFor(http.StatusBadRequest, badRequest, "reason has 123 bytes of UTF-8 at the most")
		}
	}
	return o, nil
}

// maxReason is what a close frame has room for.
const maxReason = 123

func mayClose(code int) bool {
	switch code {
	case closeNormal, closeGoingAway, closePolicy, closeInternal, 1012, closeTryLater:
		return true
	}
	return code >= 3000 && code <= 4999
}

// requestID draws an id as AWS's services answer with.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
