package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes (RFC 6455 §5.2).
const (
	opContinue = 0x0
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xA
)

// maxMessage is the largest message taken from a server.
const maxMessage = 1 << 20

// A header is the start of a frame.
type header struct {
	fin    bool
	op     byte
	masked bool
	key    [4]byte
	size   int // of the payload
}

// parseHeader reads the header at the start of b and returns its length, 0 if
// b does not hold all of it.
func parseHeader(b []byte) (h header, n int, err error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	h = header{fin: b[0]&0x80 != 0, op: b[0] & 0x0f, masked: b[1]&0x80 != 0, size: int(b[1] & 0x7f)}
	if b[0]&0x70 != 0 {
		return h, 0, errors.New("reserved bits are set, and no extension was agreed on") // RFC 6455 §5.2
	}
	n = 2
	switch h.size {
	case 126:
		if len(b) < 4 {
			return h, 0, nil
		}
		h.size, n = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		if len(b) < 10 {
			return h, 0, nil
		}
		size := binary.BigEndian.Uint64(b[2:])
		if size > maxMessage {
			return h, 0, fmt.Errorf("a frame of %d bytes", size)
		}
		h.size, n = int(size), 10
	}
	if err := h.check(n); err != nil {
		return h, 0, err
	}
	if !h.masked {
		return h, n, nil
	}
	if len(b) < n+4 {
		return h, 0, nil
	}
	copy(h.key[:], b[n:])
	return h, n + 4, nil
}

// check judges a header whose length took n bytes.
func (h *header) check(n int) error {
	switch {
	case n == 4 && h.size < 126, n == 10 && h.size < 1<<16:
		return errors.New("a length is not in its shortest form") // RFC 6455 §5.2
	case h.op > opBinary && h.op < opClose, h.op > opPong:
		return fmt.Errorf("unknown opcode %#x", h.op)
	case h.op >= opClose && (!h.fin || h.size > 125):
		return errors.New("a control frame is fragmented or too long") // RFC 6455 §5.5
	}
	return nil
}

// appendHeader appends the header of an unfragmented frame; the key of a masked
// one follows by the caller.
func appendHeader(b []byte, op byte, size int, mask byte) []byte {
	b = append(b, 0x80|op)
	switch {
	case size < 126:
		return append(b, mask|byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, mask|126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(b, mask|127), uint64(size))
}

// appendClient appends payload as one frame of a client: masked by key.
func appendClient(b []byte, op byte, payload []byte, key uint32) []byte {
	b = appendHeader(b, op, len(payload), 0x80)
	var k [4]byte
	binary.LittleEndian.PutUint32(k[:], key)
	b = append(b, k[:]...)
	n := len(b)
	b = append(b, payload...)
	xor(b[n:], k)
	return b
}

// appendServer appends payload as one frame of a server.
func appendServer(b []byte, op byte, payload []byte) []byte {
	return append(appendHeader(b, op, len(payload), 0), payload...)
}

// xor masks or unmasks b, which starts where key does (RFC 6455 §5.3).
func xor(b []byte, key [4]byte) {
	k := uint64(binary.LittleEndian.Uint32(key[:]))
	k |= k << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
}

// A receiver is told what a server sends. The bytes are its own only until it returns.
type receiver interface {
	// message is one whole message.
	message(p []byte) error
	// control is a ping, a pong or a close.
	control(op byte, p []byte) error
}

// An inbound is the incoming side of a client's connection. The zero value is
// ready.
type inbound struct {
	parts []byte // of a fragmented message, nil if there is none
	open  bool   // a fragmented message has begun
}

// feed takes the whole frames at the start of b and returns how many bytes they
// were. An error of the receiver ends it at once.
func (in *inbound) feed(b []byte, to receiver) (used int, err error) {
	for {
		h, n, err := parseHeader(b[used:])
		if err != nil {
			return used, err
		}
		if n == 0 || len(b)-used < n+h.size {
			return used, nil
		}
		if h.masked {
			return used, errors.New("the server masked a frame") // RFC 6455 §5.1
		}
		payload := b[used+n : used+n+h.size]
		used += n + h.size
		if err := in.frame(h, payload, to); err != nil {
			return used, err
		}
	}
}

func (in *inbound) frame(h header, payload []byte, to receiver) error {
	switch {
	case h.op >= opClose:
		return to.control(h.op, payload)
	case in.open != (h.op == opContinue):
		return errors.New("fragments of two messages are mixed") // RFC 6455 §5.4
	case h.fin && !in.open:
		return to.message(payload)
	case len(in.parts)+len(payload) > maxMessage:
		return errors.New("a message is too large")
	}
	in.parts = append(in.parts, payload...)
	in.open = !h.fin
	if in.open {
		return nil
	}
	whole := in.parts
	in.parts = nil
	return to.message(whole)
}
