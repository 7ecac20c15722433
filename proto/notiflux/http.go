package notiflux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

const (
	// maxBody is how large the body of a broadcast may be: room for the largest
	// message and token, whatever of them is escaped.
	maxBody = 256 << 10
	// publishTime is how long a broadcast may take.
	publishTime = 10 * time.Second
	// refusedHeader says why nothing was broadcast, if Config.Diagnostics is set.
	refusedHeader = "X-Notiflux-Refused"
)

// Routes registers the HTTP side (spec B1).
func (p *Protocol) Routes(handle func(pattern string, h http.Handler)) {
	handle("POST /broadcast", http.HandlerFunc(p.broadcast))
	handle("GET /health", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// broadcast answers a POST: 200 to what is refused as well as to what is sent.
func (p *Protocol) broadcast(w http.ResponseWriter, r *http.Request) {
	if !isJSON(r.Header.Get("Content-Type")) {
		http.Error(w, "Content type error", http.StatusBadRequest)
		return
	}
	err := p.receive(w, r)
	if err == nil {
		return
	}
	if errors.Is(err, errPlain) { // the token has been told to who listens
		http.Error(w, textOf(err), http.StatusForbidden)
		return
	}
	t := translate(earshot.CodeOf(err))
	p.deps.Log.Debug("broadcast refused", "reason", reasonOf(err), "err", err)
	if !t.silent {
		http.Error(w, textOf(err), t.status)
		return
	}
	if p.config.Diagnostics {
		w.Header().Set(refusedHeader, reasonOf(err))
	}
	w.WriteHeader(t.status)
}

// receive reads the body and publishes what is in it.
func (p *Protocol) receive(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return earshot.Errorf(earshot.TooLarge, "the body is larger than 256 KiB")
	case err != nil:
		return errBody("the body could not be read")
	}
	b, err := parseBroadcast(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishTime)
	defer cancel()
	return p.publish(ctx, b, r)
}

// publish publishes a broadcast, if its token permits that. Where its key does not
// say which app it is for, the request's host does.
func (p *Protocol) publish(ctx context.Context, b broadcast, r *http.Request) error {
	t, who, err := p.verify(b.token, scopeBroadcast, nil, p.deps.Apps.ByHost(r.Host))
	if err != nil {
		return err
	}
	if err := p.deps.Gate.Request(r, t.App); err != nil {
		return fmt.Errorf("%w: %w", errPlain, err)
	}
	if !who.identity.On(b.topic, "").Allow.Has(earshot.Broadcast) {
		return errTopic
	}
	channel, err := channelOf(b.topic)
	if err != nil {
		return err
	}
	m := &earshot.Message{Channel: channel, Kind: earshot.Text, Data: []byte(b.message)}
	_, err = p.deps.Hub.Publish(ctx, t.App, hub.Publication{Message: m})
	return err
}
