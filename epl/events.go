package epl

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// publishLimit bounds how long an event may take.
const publishLimit = 10 * time.Second

// publish broadcasts an event (A.5).
func (a *API) publish(w http.ResponseWriter, r *http.Request) error {
	app, err := a.authenticate(w, r)
	if app == nil || err != nil {
		return err
	}
	all, err := readParams(w, r)
	if err != nil {
		return err
	}
	if app = a.Apps.BySlug(r.PathValue("slug")); app == nil || !a.admits(app, r.Header.Get("Authorization")) {
		return errUnauthorized // the secret was taken away while the body came
	}
	m, err := messageOf(app, all)
	if err != nil {
		return err
	}
	ctx, cancel := timely(r, publishLimit)
	defer cancel()
	if _, err := a.Hub.Publish(ctx, app, hub.Publication{Message: m}); err != nil {
		return explain(err)
	}
	write(w, http.StatusOK, struct{}{})
	return nil
}

// authenticate finds the app of the path, and judges who asks: 404 comes before
// 401. It returns nil and no error if the request was answered.
func (a *API) authenticate(w http.ResponseWriter, r *http.Request) (*earshot.App, error) {
	app := a.Apps.BySlug(r.PathValue("slug"))
	if app == nil {
		return nil, errNotFound
	}
	if moved, err := a.Gate.Call(w, r, app); moved || err != nil {
		return nil, err
	}
	if !a.admits(app, r.Header.Get("Authorization")) {
		a.Hub.CountRefusal(app)
		return nil, errUnauthorized
	}
	a.Hub.CountCall(app)
	return app, a.notReady()
}

// admits reports whether credentials are the app's: Basic with its key and one of
// its secrets, or Bearer with a publish key.
func (a *API) admits(app *earshot.App, credentials string) bool {
	scheme, rest, _ := strings.Cut(credentials, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		// It may be another version of the app by now.
		of := a.Apps.ByPublishKey(rest)
		return rest != "" && of != nil && of.Slug == app.Slug && of.ID == app.ID
	case !strings.EqualFold(scheme, "Basic") || app.Key == "":
		return false
	}
	text, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return false
	}
	// Sums are of the same length, and all secrets are looked at, so that the time
	// it takes tells nothing.
	got, ok := sha256.Sum256(text), 0
	for _, secret := range app.Secrets {
		want := sha256.Sum256([]byte(app.Key + ":" + secret))
		ok |= subtle.ConstantTimeCompare(got[:], want[:])
	}
	return ok == 1
}

// messageOf makes the message of an event.
func messageOf(app *earshot.App, p params) (*earshot.Message, error) {
	topic, hasTopic := p.text("topic")
	event, hasEvent := p.text("event")
	scope, hasScope := p.text("scope")
	if !hasTopic || !hasEvent || !hasScope {
		return nil, errBadRequest
	}
	payload, err := payloadOf(p["payload"])
	if err != nil {
		return nil, err
	}
	m := &earshot.Message{Channel: Channel(scope, app.Slug), Event: Event(topic, event), Kind: earshot.JSON, Data: payload}
	m.Store = app.Replayed(m.Channel)
	switch {
	case len(m.Event) > maxEvent:
		return nil, wrong(http.StatusUnprocessableEntity, "event", "should be at most 255 byte(s) with the topic")
	case reserved(m.Event):
		return nil, wrong(http.StatusUnprocessableEntity, "event", "is reserved")
	case earshot.CheckChannel(m.Channel) != nil:
		return nil, wrong(http.StatusUnprocessableEntity, "scope", isInvalid)
	}
	return m, nil
}

// payloadOf reads a payload: a text that holds a JSON object, or such an object;
// an empty one if there is none (A.5, notes 3 and 4).
func payloadOf(v jsontext.Value) ([]byte, error) {
	if v.Kind() == '"' {
		var text string
		if err := json.Unmarshal(v, &text); err != nil {
			return nil, errBadRequest
		}
		v = jsontext.Value(strings.TrimSpace(text))
		if len(v) > 0 && !v.IsValid() {
			return nil, wrong(http.StatusBadRequest, "payload", isInvalid)
		}
	} else if v.Kind() == 'n' {
		v = nil
	}
	switch {
	case len(v) == 0:
		return []byte("{}"), nil
	case v.Kind() != '{':
		return nil, wrong(http.StatusUnprocessableEntity, "payload", "must be an object")
	}
	return v.Clone(), nil
}

// explain makes of what became of a publish what can be told about it.
func explain(err error) error {
	switch e := earshot.AsError(err); {
	case e.Code == earshot.Invalid:
		return wrong(http.StatusUnprocessableEntity, "payload", isInvalid)
	case e.Code == earshot.Unknown && e.Text == "":
		return &earshot.Error{Code: e.Code, Text: "the event may have been published", Err: err}
	}
	return err
}
