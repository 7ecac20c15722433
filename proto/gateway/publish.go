package gateway

import (
	"context"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json/jsontext"
)

// publish puts the body on a channel: all who hear it do so over their own
// protocol.
func (q *request) publish(ctx context.Context, channel string) error {
	if q.r.Method != http.MethodPost {
		return errNoOperation
	}
	kind, err := kindOf(q.r.Header, q.body)
	if err != nil {
		return err
	}
	m := &earshot.Message{Channel: channel, Event: q.r.URL.Query().Get("event"), Kind: kind, Data: q.body}
	if !isText(m.Event) {
		return exceptionFor(http.StatusBadRequest, badRequest, "event is not UTF-8")
	}
	p := hub.Publication{Message: m}
	if q.once != "" {
		p.Key = "amz-sdk-invocation-id " + q.once
	}
	if _, err := q.p.deps.Hub.Publish(ctx, q.app, p); err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/json")
	return nil
}

// kindOf says what a published body is: what its Content-Type or X-Frame-Type say,
// and where they say nothing of it, as the SDKs' do not, JSON if it is a JSON value,
// else text if it is UTF-8, else binary.
func kindOf(h http.Header, body []byte) (earshot.Kind, error) {
	full, _, _ := mime.ParseMediaType(h.Get("Content-Type")) // empty if it is none
	frame := strings.ToLower(h.Get("X-Frame-Type"))
	valid := jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true))
	switch {
	case frame == "binary":
		return earshot.Binary, nil
	case full == "application/json" && !valid:
		return 0, exceptionFor(http.StatusBadRequest, badRequest, "The body is not the JSON that its Content-Type says")
	case frame == "text" || strings.HasPrefix(full, "text/"):
		if !utf8.Valid(body) {
			return 0, exceptionFor(http.StatusBadRequest, badRequest, "The data is not UTF-8, so it cannot be a text")
		}
		return earshot.Text, nil
	case valid:
		return earshot.JSON, nil
	case utf8.Valid(body):
		return earshot.Text, nil
	}
	return earshot.Binary, nil
}

func isText(s string) bool { return utf8.ValidString(s) }
