package gateway

import (
	"context"
	"crypto/sha256"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
	"github.com/fxamacker/cbor/v2"
	"github.com/go-json-experiment/json"
)

// callKind names orders between nodes.
const callKind = "gateway"

// What an order asks for.
type operation uint8

const (
	opPost operation = iota + 1
	opGet
	opDelete
	opJoin
	opLeave
)

// An order is what a management request asks of a connection, on whichever node.
type order struct {
	Op operation `cbor:"1,keyasint"`
	// App, API and Stage are where the connection must be.
	App   string `cbor:"2,keyasint"`
	API   string `cbor:"3,keyasint"`
	Stage string `cbor:"4,keyasint"`
	// Data is posted, as a binary message or a text. Once names the attempts of one
	// call, empty if nobody said.
	Data   []byte `cbor:"5,keyasint,omitempty"`
	Binary bool   `cbor:"6,keyasint,omitempty"`
	Once   string `cbor:"7,keyasint,omitempty"`
	// Code and Reason are said when it is closed.
	Code   int    `cbor:"8,keyasint,omitempty"`
	Reason string `cbor:"9,keyasint,omitempty"`
	// Channel is joined or left, Envelope says how it is heard.
	Channel  string `cbor:"10,keyasint,omitempty"`
	Envelope bool   `cbor:"11,keyasint,omitempty"`
}

// order has an order carried out, here or by the node that holds the connection. It
// fails with NotFound if no connection of the stage has the id.
func (p *Protocol) order(ctx context.Context, id earshot.ConnID, o *order) ([]byte, error) {
	if s := p.session(id); s != nil {
		return s.obey(ctx, o)
	}
	data, err := cbor.Marshal(o)
	if err != nil {
		return nil, err
	}
	return p.deps.Hub.Call(ctx, id, callKind, data)
}

// called carries out an order that came from another node.
func (p *Protocol) called(ctx context.Context, c *hub.Conn, data []byte) ([]byte, error) {
	var o order
	if err := cbor.Unmarshal(data, &o); err != nil {
		return nil, earshot.Errorf(earshot.Invalid, "an order that cannot be read")
	}
	s := p.session(c.ID())
	if s == nil {
		return nil, errGone
	}
	return s.obey(ctx, &o)
}

// obey carries out an order.
func (s *session) obey(ctx context.Context, o *order) ([]byte, error) {
	if s.slug != o.App || s.api != o.API || s.stage != o.Stage || s.conn.Err() != nil {
		return nil, errGone
	}
	switch o.Op {
	case opPost:
		return nil, s.post(o)
	case opGet:
		return s.describe()
	case opDelete:
		s.conn.Close(&earshot.Error{Code: earshot.Kicked, Text: "closed by a request", Err: &goodbye{o.Code, o.Reason}})
		return nil, nil
	case opJoin:
		sub, err := s.join(ctx, join{o.Channel, o.Envelope})
		if err == nil && sub != nil {
			err = sub.Start(ctx)
		}
		return nil, s.unlessGone(err)
	case opLeave:
		s.leaveChannel(o.Channel)
		return nil, nil
	}
	return nil, earshot.Errorf(earshot.Invalid, "an order that nobody knows")
}

// post sends the client one message, once for all attempts of one call.
func (s *session) post(o *order) error {
	f := &hub.Frame{Body: o.Data}
	if o.Binary {
		f.Op = hub.Binary
	}
	again, err := s.offer(f, o.Once)
	switch {
	case again:
		return nil
	case err != nil:
		if earshot.CodeOf(err) == earshot.Limited {
			s.p.counts.behind.Add(1)
		}
		return s.unlessGone(err)
	}
	s.p.counts.posted.Add(1)
	s.touch()
	return nil
}

// offer sends a frame, unless an attempt of the same call has done so.
func (s *session) offer(f *hub.Frame, call string) (again bool, err error) {
	if call == "" {
		return false, s.conn.Offer(f)
	}
	token := tokenOf(call)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.once.has(token) {
		return true, nil
	}
	if err := s.conn.Offer(f); err != nil {
		return false, err
	}
	s.once.add(token)
	return false, nil
}

// unlessGone is an error, or that the connection is gone if it is that.
func (s *session) unlessGone(err error) error {
	if err != nil && s.conn.Err() != nil {
		return errGone
	}
	return err
}

// A connection is what GetConnection answers (9.3).
type connection struct {
	ConnectedAt  string   `json:"connectedAt"`
	Identity     identity `json:"identity"`
	LastActiveAt string   `json:"lastActiveAt"`
}

type identity struct {
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent,omitzero"`
}

// moment is RFC 3339 in milliseconds.
const moment = "2006-01-02T15:04:05.000Z07:00"

func (s *session) describe() ([]byte, error) {
	return json.Marshal(&connection{
		ConnectedAt: s.who.ConnectedAt.UTC().Format(moment), LastActiveAt: s.lastActive().UTC().Format(moment),
		Identity: identity{s.who.SourceIP, s.who.UserAgent},
	})
}

// A token stands for one call of an SDK.
type token [16]byte

func tokenOf(invocation string) token {
	sum := sha256.Sum256([]byte(invocation))
	return token(sum[:16])
}

// once remembers the newest calls that posted to a connection: an SDK tries again
// within seconds.
type once struct {
	tokens []token
	next   int
}

// remembered is how many calls are.
const remembered = 256

func (o *once) has(t token) bool {
	for i := range o.tokens {
		if o.tokens[i] == t {
			return true
		}
	}
	return false
}

func (o *once) add(t token) {
	if len(o.tokens) < remembered {
		o.tokens = append(o.tokens, t)
		return
	}
	o.tokens[o.next] = t
	o.next = (o.next + 1) % remembered
}

// allows reports whether a key may do something with a stage: what its patterns
// match is the API's id, with the stage behind it, or with all that an ARN has
// there.
func allows(key *earshot.AccessKey, action string, stage *core.Stage, what string) bool {
	id := stage.API.ID
	return key.Allows(action, id) || key.Allows(action, id+"/"+stage.Name) || key.Allows(action, id+"/"+stage.Name+"/"+what)
}
