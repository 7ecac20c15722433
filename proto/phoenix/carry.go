package phoenix

import (
	"context"
	"errors"

	"github.com/fxamacker/cbor/v2"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/longpoll"
)

// The calls by which a node carries out a request for a session of another one.
const (
	callPoll = "phoenix.poll"
	callPost = "phoenix.post"
)

// maxCarried is how many bytes of messages one call to another node carries.
const maxCarried = hub.MaxTell / 2

// A batch is what a poll has come to, on its way between nodes.
type batch struct {
	Frames [][]byte `cbor:"1,keyasint,omitempty"`
	// Over says that the session is.
	Over bool `cbor:"2,keyasint,omitempty"`
}

// A letter is a client's message on its way between nodes.
type letter struct {
	Data   []byte `cbor:"1,keyasint,omitempty"`
	Binary bool   `cbor:"2,keyasint,omitempty"`
}

var errGone = &earshot.Error{Code: earshot.NotFound, Reason: "SESSION", Text: "the session is over"}

// poll waits for the frames of a session, on whatever node it is.
func (s *polls) poll(ctx context.Context, t ticket) (b batch, err error) {
	h := s.p.deps.Hub
	if t.node == h.Node() {
		return s.pollHere(ctx, s.server.Session(t.session))
	}
	data, err := h.CallAt(ctx, t.node, t.session, callPoll, nil)
	if err != nil {
		return b, err
	}
	return b, cbor.Unmarshal(data, &b)
}

// servePoll carries out a poll that came to another node.
func (s *polls) servePoll(ctx context.Context, c *hub.Conn, _ []byte) ([]byte, error) {
	b, err := s.pollHere(ctx, s.server.Session(c.ID()))
	if err != nil {
		return nil, err
	}
	return cbor.Marshal(b)
}

func (s *polls) pollHere(ctx context.Context, session *longpoll.Session) (b batch, err error) {
	if session == nil {
		return b, errGone
	}
	got, err := session.Poll(ctx, pollTime)
	if err != nil {
		return b, err
	}
	for _, f := range got.Frames {
		b.Frames = append(b.Frames, append(append(make([]byte, 0, f.Len()), f.Head...), f.Body...))
	}
	b.Over = got.End != nil
	return b, nil
}

// deliver hands messages to a session, on whatever node it is.
func (s *polls) deliver(ctx context.Context, t ticket, in []hub.Input) error {
	h := s.p.deps.Hub
	if t.node == h.Node() {
		return s.deliverHere(ctx, s.server.Session(t.session), in)
	}
	for len(in) > 0 {
		n, size := 0, 0
		var letters []letter
		for n < len(in) && (n == 0 || size+len(in[n].Data) <= maxCarried) {
			letters = append(letters, letter{in[n].Data, in[n].Op == hub.Binary})
			size += len(in[n].Data)
			n++
		}
		data, err := cbor.Marshal(letters)
		if err != nil {
			return err
		}
		if _, err = h.CallAt(ctx, t.node, t.session, callPost, data); err != nil {
			return err
		}
		in = in[n:]
	}
	return nil
}

// servePost takes the messages that came to another node.
func (s *polls) servePost(ctx context.Context, c *hub.Conn, data []byte) ([]byte, error) {
	var letters []letter
	if err := cbor.Unmarshal(data, &letters); err != nil {
		return nil, err
	}
	in := make([]hub.Input, len(letters))
	for i, l := range letters {
		in[i].Data = l.Data
		if l.Binary {
			in[i].Op = hub.Binary
		}
	}
	return nil, s.deliverHere(ctx, s.server.Session(c.ID()), in)
}

func (s *polls) deliverHere(ctx context.Context, session *longpoll.Session, in []hub.Input) error {
	if session == nil {
		return errGone
	}
	err := session.Receive(ctx, in...)
	if err != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return &earshot.Error{Code: earshot.Timeout, Text: "the messages before these are not handled yet", Err: err}
	}
	return err
}
