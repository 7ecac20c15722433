package ws

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/earshot-io/earshot/hub"
)

// syncTail is what ends a flushed block and is left out on the wire (RFC 7692
// §7.2.1); finalTail is an empty last block, which tells the reader the end.
const (
	syncTail  = "\x00\x00\xff\xff"
	finalTail = syncTail + "\x01\x00\x00\xff\xff"
)

// A deflater compresses and inflates without context takeover. It is safe for
// concurrent use.
type deflater struct {
	from    int // smaller frames are not compressed
	build   func(*hub.Frame) []byte
	writers sync.Pool
	readers sync.Pool
}

func newDeflater(from int) *deflater {
	d := &deflater{from: from}
	d.build = d.frame
	d.writers.New = func() any {
		w, err := flate.NewWriter(nil, flate.BestSpeed)
		if err != nil {
			panic(err) // the level is a valid one
		}
		return w
	}
	d.readers.New = func() any { return flate.NewReader(nil) }
	return d
}

// frame returns f compressed with its header, or plain if that is shorter.
func (d *deflater) frame(f *hub.Frame) []byte {
	var b bytes.Buffer
	b.Grow(f.Len()/2 + 64)
	w := d.writers.Get().(*flate.Writer)
	defer d.writers.Put(w)
	w.Reset(&b)
	_, err := w.Write(f.Head)
	if err == nil {
		_, err = w.Write(f.Body)
	}
	if err == nil {
		err = w.Flush()
	}
	packed := bytes.TrimSuffix(b.Bytes(), []byte(syncTail))
	if err != nil || len(packed) >= f.Len() {
		return plain{}.Append(make([]byte, 0, f.Len()+10), f)
	}
	out := appendHeader(make([]byte, 0, len(packed)+10), byte(opcodeOf(f.Op))|bitRSV1, len(packed))
	return append(out, packed...)
}

// inflate returns what data was before it was compressed, if it is at most
// limit bytes.
func (d *deflater) inflate(data []byte, limit int) ([]byte, error) {
	r := d.readers.Get().(io.ReadCloser)
	defer d.readers.Put(r)
	src := io.MultiReader(bytes.NewReader(data), bytes.NewReader([]byte(finalTail)))
	if err := r.(flate.Resetter).Reset(src, nil); err != nil {
		return nil, violated(codeInvalid, "a compressed message cannot be read")
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case len(out) > limit:
		return nil, violated(codeTooBig, "the message is too large")
	case err != nil:
		return nil, violated(codeInvalid, "a compressed message cannot be read")
	}
	return out, nil
}
