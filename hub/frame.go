package hub

import (
	"sync/atomic"

	"github.com/earshot-io/earshot"
)

// Op is the kind of a frame or message on the wire.
type Op uint8

// The kinds.
const (
	Text Op = iota
	Binary
)

// An Input is one whole message from a client.
type Input struct {
	Op   Op
	Data []byte
}

// A Frame is one rendered message, ready to be sent to any number of clients.
// It is shared and never changed after it was handed on.
type Frame struct {
	Op Op
	// Head comes before Body; it may differ between frames that share a Body.
	Head []byte
	Body []byte

	forms [forms]atomic.Pointer[[]byte]
}

// A Form is a way to put a frame on a wire that is expensive to make.
type Form uint8

// The forms that a frame remembers.
const (
	// Deflated is the frame compressed, with the header of its transport.
	Deflated Form = iota
	forms
)

// TextFrame returns a text frame of body.
func TextFrame(body []byte) *Frame { return &Frame{Op: Text, Body: body} }

// BinaryFrame returns a binary frame of body.
func BinaryFrame(body []byte) *Frame { return &Frame{Op: Binary, Body: body} }

// DataFrame returns a message's data alone, for protocols whose clients are told
// nothing else: a text frame of its text or JSON value, a binary frame of its bytes.
func DataFrame(m *earshot.Message) *Frame {
	switch {
	case m.Kind == earshot.Binary:
		return BinaryFrame(m.Data)
	case m.Kind == earshot.JSON && len(m.Data) == 0:
		return TextFrame([]byte("null"))
	}
	return TextFrame(m.Data)
}

// Len is the number of bytes of the message, without any header of a transport.
func (f *Frame) Len() int { return len(f.Head) + len(f.Body) }

// WithHead returns a frame of the same body behind another head.
func (f *Frame) WithHead(head []byte) *Frame {
	return &Frame{Op: f.Op, Head: head, Body: f.Body}
}

// Form returns the frame in a form, which build makes when it is first asked
// for. Two callers at once may both build; they get the same bytes afterwards.
func (f *Frame) Form(i Form, build func(*Frame) []byte) []byte {
	if b := f.forms[i].Load(); b != nil {
		return *b
	}
	b := build(f)
	if f.forms[i].CompareAndSwap(nil, &b) {
		return b
	}
	return *f.forms[i].Load()
}

// An Encoding is one way to render messages. Subscriptions that share the
// pointer share the rendered frames: the hub calls Render once per Encoding and
// message, however many subscribers there are.
type Encoding struct {
	// Name is for people.
	Name string
	// Render makes the frame; nil if this encoding cannot carry the message,
	// which is counted. It must not keep or change the message, and must be
	// quick: other publishers of the channel wait.
	Render func(*earshot.Message) *Frame
	// Notices says that Render has words for notices (earshot.Notice). Others are
	// not asked, and their subscribers hear none.
	Notices bool
	// Head, if set, makes what comes before the shared body for one
	// subscription, from its tag. It is called with the shard locked.
	Head func(tag any, m *earshot.Message) []byte
}
