package ws

import (
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/transport"
)

const (
	// maxFragments bounds how many frames a message may come in.
	maxFragments = 128
	// A client may send a control frame each controlEvery, and controlBurst at once.
	controlEvery = 100 * time.Millisecond
	controlBurst = 100
)

// rules are what all decoders of a server keep.
type rules struct {
	maxMessage int
	deflater   *deflater // nil if compression was not agreed on
	now        func() time.Time
}

// A decoder cuts one client's frames into messages; see transport.Decoder.
type decoder struct {
	rules *rules
	m     *message // begun and not whole; nil between messages
	// paid is when the control frames so far would all be allowed, in Unix
	// nanoseconds (a leaky bucket).
	paid int64
}

// Decode takes what it can, also pieces of a payload.
func (d *decoder) Decode(in []byte, out *transport.Decoded) (n int, err error) {
	for !out.Bye {
		if d.m != nil && d.m.left > 0 {
			n += d.m.take(in[n:])
			if d.m.left > 0 {
				return n, nil
			}
			if err := d.endFrame(out); err != nil {
				return n, err
			}
		}
		took, err := d.frame(in[n:], out)
		if took == 0 || err != nil {
			return n, err
		}
		n += took
	}
	return n, nil
}

// frame takes a control frame, a whole message, or the header of a longer one.
func (d *decoder) frame(in []byte, out *transport.Decoded) (n int, err error) {
	h, size, err := parseHeader(in, d.rules.deflater != nil)
	if size == 0 || err != nil {
		return 0, err
	}
	payload := in[size:]
	if h.op >= opClose {
		if int64(len(payload)) < h.length {
			return 0, nil
		}
		payload = payload[:h.length]
		unmask(payload, payload, h.key, 0)
		return size + len(payload), d.control(h.op, payload, out)
	}
	if err := d.admit(&h); err != nil {
		return 0, err
	}
	if d.m == nil && h.fin && int64(len(payload)) >= h.length {
		data := make([]byte, h.length)
		unmask(data, payload[:h.length], h.key, 0)
		return size + len(data), d.whole(h.op, h.compressed, data, out)
	}
	d.begin(&h)
	if h.length == 0 {
		return size, d.endFrame(out)
	}
	return size, nil
}

// admit judges the header of a data frame.
func (d *decoder) admit(h *header) error {
	have := int64(0)
	switch {
	case d.m == nil && h.op == opContinuation:
		return violated(codeProtocol, "there is no message to continue") // RFC 6455 §5.4
	case d.m != nil && h.op != opContinuation:
		return violated(codeProtocol, "a message begins within another one") // RFC 6455 §5.4
	case d.m != nil && d.m.fragments >= maxFragments:
		return violated(codePolicy, "a message has too many fragments")
	case d.m != nil:
		have = int64(len(d.m.data))
	}
	if h.length > int64(d.rules.maxMessage)-have {
		return violated(codeTooBig, "the message is too large")
	}
	return nil
}

// begin begins or continues a message by a frame.
func (d *decoder) begin(h *header) {
	if d.m == nil {
		d.m = &message{op: h.op, compressed: h.compressed}
	}
	d.m.fragments++
	d.m.fin, d.m.key, d.m.pos, d.m.left = h.fin, h.key, 0, int(h.length)
}

// endFrame hands the message on if its last frame is complete.
func (d *decoder) endFrame(out *transport.Decoded) error {
	m := d.m
	if !m.fin {
		return nil
	}
	d.m = nil
	return d.whole(m.op, m.compressed, m.data, out)
}

// whole hands a message on.
func (d *decoder) whole(op opcode, compressed bool, data []byte, out *transport.Decoded) (err error) {
	if compressed {
		if data, err = d.rules.deflater.inflate(data, d.rules.maxMessage); err != nil {
			return err
		}
	}
	if op == opBinary {
		out.In = append(out.In, hub.Input{Op: hub.Binary, Data: data})
		return nil
	}
	if !utf8.Valid(data) {
		return violated(codeInvalid, "a text message is not UTF-8") // RFC 6455 §8.1
	}
	out.In = append(out.In, hub.Input{Op: hub.Text, Data: data})
	return nil
}

// control answers a ping, notices a close, and counts.
func (d *decoder) control(op opcode, payload []byte, out *transport.Decoded) (err error) {
	now := d.rules.now().UnixNano()
	d.paid = max(d.paid, now) + int64(controlEvery)
	if d.paid-now > int64(controlEvery*controlBurst) {
		return violated(codePolicy, "too many control frames")
	}
	switch op {
	case opPing: // RFC 6455 §5.5.2
		out.Reply = append(appendHeader(out.Reply, byte(opPong), len(payload)), payload...)
	case opClose:
		out.Code, out.Reason, err = parseClose(payload)
		out.Bye = err == nil
	}
	return err
}

// A message is one that has not come whole.
type message struct {
	op         opcode
	compressed bool
	fin        bool // the present frame is its last
	key        [4]byte
	fragments  int
	pos        int // in the present frame's payload
	left       int // bytes that the present frame still brings
	data       []byte
}

// take takes what in has of the present frame's payload. The memory that it
// takes follows what came, not what a header promised.
func (m *message) take(in []byte) int {
	n := min(m.left, len(in))
	have := len(m.data)
	if have+n > cap(m.data) {
		room := min(max(2*cap(m.data), have+n, 512), have+m.left)
		m.data = append(make([]byte, 0, room), m.data...)
	}
	m.data = m.data[:have+n]
	unmask(m.data[have:], in[:n], m.key, m.pos)
	m.pos += n
	m.left -= n
	return n
}
