package ws

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/earshot-io/earshot/hub"
)

// opcode is the kind of a frame (RFC 6455 §5.2).
type opcode byte

const (
	opContinuation opcode = 0
	opText         opcode = 1
	opBinary       opcode = 2
	opClose        opcode = 8
	opPing         opcode = 9
	opPong         opcode = 10
)

// Bits of a frame's first two bytes.
const (
	bitFin    = 0x80
	bitRSV1   = 0x40
	bitsRSV23 = 0x30
	bitMask   = 0x80
)

// maxControl is how much a control frame may carry (RFC 6455 §5.5).
const maxControl = 125

// A header is the beginning of a client's frame.
type header struct {
	op         opcode
	fin        bool
	compressed bool // RSV1 (RFC 7692 §6)
	key        [4]byte
	length     int64
}

// parseHeader reads a client's frame header; size is 0 if more bytes are
// needed. Deflate says that RSV1 has a meaning.
func parseHeader(b []byte, deflate bool) (h header, size int, err error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	h.op, h.fin, h.compressed = opcode(b[0]&0x0f), b[0]&bitFin != 0, b[0]&bitRSV1 != 0
	control := h.op >= opClose
	switch {
	case b[0]&bitsRSV23 != 0 || h.compressed && (!deflate || h.op != opText && h.op != opBinary):
		return h, 0, violated(codeProtocol, "a reserved bit is set") // RFC 6455 §5.2
	case h.op > opBinary && h.op < opClose || h.op > opPong:
		return h, 0, violated(codeProtocol, "an opcode is not known") // RFC 6455 §5.2
	case b[1]&bitMask == 0:
		return h, 0, violated(codeProtocol, "a frame is not masked") // RFC 6455 §5.1
	case control && !h.fin:
		return h, 0, violated(codeProtocol, "a control frame is fragmented") // RFC 6455 §5.5
	case control && b[1]&0x7f > maxControl:
		return h, 0, violated(codeProtocol, "a control frame is too long") // RFC 6455 §5.5
	}
	size, err = h.parseLength(b)
	if size == 0 || len(b) < size+4 || err != nil {
		return h, 0, err
	}
	h.key = [4]byte(b[size:])
	return h, size + 4, nil
}

// parseLength reads the payload's length, which must be in the shortest form
// (RFC 6455 §5.2), and returns where the masking key is.
func (h *header) parseLength(b []byte) (size int, err error) {
	least := int64(0)
	switch h.length = int64(b[1] & 0x7f); h.length {
	case 126:
		if len(b) < 4 {
			return 0, nil
		}
		size, least, h.length = 4, 126, int64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return 0, nil
		}
		size, least, h.length = 10, 1<<16, int64(binary.BigEndian.Uint64(b[2:]))
	default:
		return 2, nil
	}
	if h.length < least { // also if the highest bit is set
		return 0, violated(codeProtocol, "a length is not in its shortest form")
	}
	return size, nil
}

// unmask writes src to dst unmasked; pos is where src begins in the payload
// (RFC 6455 §5.3). They may be the same.
func unmask(dst, src []byte, key [4]byte, pos int) {
	k := [8]byte{}
	for i := range k {
		k[i] = key[(pos+i)&3]
	}
	word := binary.LittleEndian.Uint64(k[:])
	n := len(src) &^ 7
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(src[i:])^word)
	}
	for i := n; i < len(src); i++ {
		dst[i] = src[i] ^ k[i&7]
	}
}

// appendHeader appends the header of a frame of ours: whole, not masked.
func appendHeader(dst []byte, first byte, length int) []byte {
	dst = append(dst, first|bitFin)
	switch {
	case length <= maxControl:
		return append(dst, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(length))
}

// opcodeOf returns a message's opcode.
func opcodeOf(op hub.Op) opcode {
	if op == hub.Binary {
		return opBinary
	}
	return opText
}

// parseClose reads the payload of a close frame; code 0 if it gives none
// (RFC 6455 §5.5.1).
func parseClose(b []byte) (code int, reason string, err error) {
	switch {
	case len(b) == 0:
		return 0, "", nil
	case len(b) == 1:
		return 0, "", violated(codeProtocol, "a close code is cut off")
	}
	if code = int(binary.BigEndian.Uint16(b)); !received(code) {
		return 0, "", violated(codeProtocol, "a close code may not be used")
	}
	if !utf8.Valid(b[2:]) {
		return 0, "", violated(codeInvalid, "a close reason is not UTF-8")
	}
	return code, string(b[2:]), nil
}

// closeFrame returns our close frame. A code that must not be sent becomes one
// that may, and a reason is cut to what a control frame holds.
func closeFrame(code int, reason string) []byte {
	if code == 0 {
		return []byte{bitFin | byte(opClose), 0}
	}
	if code < 1000 || code >= codeHandshake && code < 3000 || code > 4999 || !received(code) {
		code = codeInternal
	}
	for len(reason) > maxControl-2 {
		_, last := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-last]
	}
	b := appendHeader(nil, byte(opClose), 2+len(reason))
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(b, reason...)
}
