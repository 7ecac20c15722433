package api

import (
	"bytes"
	"net/http"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/webhook"
)

// Bounds of the stream of events.
const (
	// beatEvery is how long a stream is silent at the most.
	beatEvery = 15 * time.Second
	// streamWait is how soon a stream notices that the server stops.
	streamWait = time.Second
	// streamWrite is how long a reader may take for what it is sent.
	streamWrite = 10 * time.Second
	// maxStreams is how many there may be at once.
	maxStreams = 100
)

// stream sends an app's events as server-sent events, for as long as the reader
// stays; see the package's comment.
func (a *API) stream(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
	after, err := place(r)
	if err != nil {
		return err
	}
	if a.streams.Add(1) > maxStreams {
		a.streams.Add(-1)
		return earshot.Errorf(earshot.Limited, "too many streams of events are being read")
	}
	defer a.streams.Add(-1)
	events, whole, err := a.events.Stream(r.Context(), app, after)
	if err != nil {
		return err
	}
	out := &streaming{to: http.NewResponseController(w), w: w}
	_ = out.to.SetReadDeadline(time.Time{}) // it stays longer than a request does
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would wait for more
	out.add(": events of " + app.Slug)
	if after.IsZero() {
		out.add("id: " + events.Place().String()) // to come back to before the first event
	}
	if !whole {
		out.add("event: gap", "data: {}")
	}
	a.follow(r, events, out)
	return nil
}

// place is where the reader wants to go on.
func place(r *http.Request) (earshot.ID, error) {
	text := r.URL.Query().Get("after")
	if text == "" {
		text = r.Header.Get("Last-Event-ID")
	}
	switch text {
	case "":
		return earshot.ID{}, nil
	case "0":
		return webhook.Oldest(), nil
	}
	id, err := earshot.ParseID(text)
	if err != nil || id.Position().IsZero() {
		return id, invalid("AFTER", "after is 0, or the id of an event of this stream")
	}
	return id, nil
}

// follow sends what there is and what comes, until the reader has gone or the
// server stops.
func (a *API) follow(r *http.Request, events *webhook.Stream, out *streaming) {
	for r.Context().Err() == nil && a.ready() == nil {
		told, err := events.Read(r.Context())
		if err != nil {
			a.log.Debug("events cannot be read now", "err", err)
		}
		for i := range told {
			t := &told[i]
			out.add("id: "+t.At.String(), "webhook-id: "+t.ID, "data: "+string(t.Body))
		}
		if err := out.flush(); err != nil {
			return
		}
		if len(told) == 0 {
			events.Wait(r.Context(), streamWait)
		}
	}
}

// A streaming answer gathers what is sent together.
type streaming struct {
	to   *http.ResponseController
	w    http.ResponseWriter
	b    bytes.Buffer
	sent time.Time
}

// add adds one event, of lines without a line break: JSON has none.
func (s *streaming) add(lines ...string) {
	for _, l := range lines {
		s.b.WriteString(l)
		s.b.WriteByte('\n')
	}
	s.b.WriteByte('\n')
}

// flush sends what was added, or a sign of life when it is time for one.
func (s *streaming) flush() error {
	if s.b.Len() == 0 {
		if time.Since(s.sent) < beatEvery {
			return nil
		}
		s.add(":")
	}
	s.sent = time.Now()
	_ = s.to.SetWriteDeadline(s.sent.Add(streamWrite))
	_, err := s.w.Write(s.b.Bytes())
	s.b.Reset()
	if err == nil {
		err = s.to.Flush()
	}
	return err
}
