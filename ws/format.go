package ws

import "github.com/earshot-io/earshot/hub"

// plain writes frames as they are; see transport.Format.
type plain struct{}

// Append appends a frame: text or binary, never fragmented.
func (plain) Append(dst []byte, f *hub.Frame) []byte {
	dst = appendHeader(dst, byte(opcodeOf(f.Op)), f.Len())
	dst = append(dst, f.Head...)
	return append(dst, f.Body...)
}

// Goodbye returns a close frame.
func (plain) Goodbye(code int, reason string) []byte { return closeFrame(code, reason) }

// Ping returns a ping without a payload.
func (plain) Ping() []byte { return []byte{bitFin | byte(opPing), 0} }

// deflated writes frames compressed where that helps.
type deflated struct {
	plain
	*deflater
}

// Append appends a frame, compressed once for all connections.
func (d deflated) Append(dst []byte, f *hub.Frame) []byte {
	if f.Len() < d.from {
		return d.plain.Append(dst, f)
	}
	return append(dst, f.Form(hub.Deflated, d.build)...)
}
