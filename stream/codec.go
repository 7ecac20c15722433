package stream

import (
	"bytes"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/transport"
)

// A format writes frames as they are.
type format struct{}

var _ transport.Format = format{}

// Append appends the frame.
func (format) Append(dst []byte, f *hub.Frame) []byte {
	return append(append(dst, f.Head...), f.Body...)
}

// Goodbye has no words of its own.
func (format) Goodbye(int, string) []byte { return nil }

// Ping has none either: heartbeats are the protocol's.
func (format) Ping() []byte { return nil }

// A decoder cuts one client's bytes.
type decoder struct {
	cut   proto.Cut
	max   int
	first *hub.Timer // ends a dialogue without a first message; nil once there is one
}

// Decode takes the whole messages in b; see transport.Decoder.
func (d *decoder) Decode(b []byte, out *transport.Decoded) (taken int, err error) {
	for len(b) > taken {
		n, m, err := d.cut(b[taken:])
		if err != nil {
			return taken, err
		}
		if n > d.max || n == 0 && len(b)-taken > d.max {
			return taken, earshot.Errorf(earshot.TooLarge, "a message may have %d bytes at the most", d.max)
		}
		if n == 0 {
			break
		}
		taken += n
		if len(m.Data) > 0 {
			out.In = append(out.In, hub.Input{Op: m.Op, Data: bytes.Clone(m.Data)})
		}
	}
	if d.first != nil && len(out.In) > 0 {
		d.first.Stop()
		d.first = nil
	}
	return taken, nil
}
