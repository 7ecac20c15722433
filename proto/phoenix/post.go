package phoenix

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// The bounds of a post (B.6, B.11).
const (
	maxBody  = 8 << 20
	maxLines = 100
	// maxPosted is how many bytes a message may have, as on a WebSocket.
	maxPosted = 128 << 10
	// maxLarge is how many posts of more than smallBody bytes there may be at once on
	// a node, so that what is read of them stays bounded; others wait.
	maxLarge  = 32
	smallBody = 64 << 10
)

// ndjson is the content type of a post that holds several messages.
const ndjson = "application/x-ndjson"

// post takes messages of a client.
func (s *polls) post(w http.ResponseWriter, r *http.Request) {
	t, ok, err := s.stamp.read(r.Context(), tokenOf(r), time.Now())
	switch {
	case err != nil:
		answerPoll(w, pollFailed, nil)
		return
	case !ok:
		answerPoll(w, pollGone, nil)
		return
	}
	if r.ContentLength < 0 || r.ContentLength > smallBody {
		if !s.takesLarge(r.Context()) {
			answerPoll(w, pollLate, nil)
			return
		}
		defer func() { <-s.large }()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			answerPoll(w, pollTooLarge, nil)
		}
		return // or the client is gone
	}
	in, status := messagesOf(r.Header.Get("Content-Type"), string(body))
	if status == pollOK {
		status = s.dispatch(r.Context(), t, in)
	}
	answerPoll(w, status, nil)
}

// takesLarge waits for the turn of a post that may be large; it reports false if
// that does not come.
func (s *polls) takesLarge(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, postTime)
	defer cancel()
	select {
	case s.large <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// dispatch hands messages over, and says how that went.
func (s *polls) dispatch(ctx context.Context, t ticket, in []hub.Input) (status int) {
	ctx, cancel := context.WithTimeout(ctx, postTime)
	defer cancel()
	err := s.deliver(ctx, t, in)
	switch {
	case err == nil:
		return pollOK
	case ctx.Err() != nil, earshot.CodeOf(err) == earshot.Timeout, earshot.CodeOf(err) == earshot.Limited:
		return pollLate
	}
	return pollGone
}

// messagesOf reads the body of a post. Either all of it can be dispatched, or the
// status says why nothing is.
func messagesOf(contentType, body string) (in []hub.Input, status int) {
	if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != ndjson {
		switch {
		case len(body) > maxPosted:
			return nil, pollTooLarge
		case !utf8.ValidString(body):
			return nil, pollInvalid
		}
		return []hub.Input{{Data: []byte(body)}}, pollOK
	}
	for line := range strings.SplitSeq(body, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			continue
		}
		m, status := lineOf(line)
		if status != pollOK {
			return nil, status
		}
		if in = append(in, m); len(in) > maxLines {
			return nil, pollTooLarge
		}
	}
	return in, pollOK
}

// lineOf reads one line of a batch: a text if it begins as JSON of either version
// does, else a binary message in base64.
func lineOf(line string) (m hub.Input, status int) {
	m = hub.Input{Data: []byte(line)}
	if line[0] != '[' && line[0] != '{' {
		b, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return m, pollInvalid
		}
		m = hub.Input{Op: hub.Binary, Data: b}
	}
	switch {
	case len(m.Data) > maxPosted:
		return m, pollTooLarge
	case m.Op == hub.Text && !utf8.ValidString(line):
		return m, pollInvalid
	}
	return m, pollOK
}
