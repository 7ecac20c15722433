package ws

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/transport"
)

// frozen is a clock that stands still.
func frozen() time.Time { return time.Unix(1, 0) }

// client makes a client's frame with a key that is not symmetric.
func client(first byte, payload string) []byte {
	b := appendHeader(nil, first&^bitFin, len(payload))
	b[0] = first
	b[1] |= bitMask
	key := [4]byte{1, 2, 4, 128}
	b = append(b, key[:]...)
	masked := make([]byte, len(payload))
	for i := range masked {
		masked[i] = payload[i] ^ key[i&3]
	}
	return append(b, masked...)
}

// found is all that a decoder found.
type found struct {
	transport.Decoded
	err string
}

// feed decodes b in pieces of size, as the transport would. It fails if the
// decoder holds much more than it was given.
func feed(t testing.TB, r *rules, b []byte, size int) found {
	t.Helper()
	d := &decoder{rules: r}
	var all found
	var partial []byte
	given := 0
	for piece := range slices.Chunk(b, size) {
		given += len(piece)
		partial = append(partial, piece...)
		n, err := d.Decode(partial, &all.Decoded)
		if n < 0 || n > len(partial) {
			t.Fatalf("took %d of %d bytes", n, len(partial))
		}
		partial = slices.Clone(partial[n:])
		if err == nil && !all.Bye && len(partial) >= 14+maxControl {
			t.Fatalf("left %d bytes behind", len(partial))
		}
		if d.m != nil && cap(d.m.data) > 512+3*given {
			t.Fatalf("holds %d bytes after %d", cap(d.m.data), given)
		}
		if err != nil {
			all.err = err.Error()
		}
		if err != nil || all.Bye {
			break
		}
	}
	return all
}

func (f *found) equal(o *found) bool {
	return slices.EqualFunc(f.In, o.In, func(a, b hub.Input) bool { return a.Op == b.Op && bytes.Equal(a.Data, b.Data) }) &&
		bytes.Equal(f.Reply, o.Reply) && f.Bye == o.Bye && f.Code == o.Code && f.Reason == o.Reason && f.err == o.err
}

func TestDecode(t *testing.T) {
	r := &rules{maxMessage: 1000, now: frozen}
	long := strings.Repeat("x", 300)
	for _, test := range []struct {
		name string
		in   []byte
		want found
	}{
		{"text", client(0x81, "hi"), found{Decoded: transport.Decoded{In: []hub.Input{{Op: hub.Text, Data: []byte("hi")}}}}},
		{"binary", client(0x82, "\xff"), found{Decoded: transport.Decoded{In: []hub.Input{{Op: hub.Binary, Data: []byte{0xff}}}}}},
		{"empty", client(0x81, ""), found{Decoded: transport.Decoded{In: []hub.Input{{}}}}},
		{"16-bit length", client(0x81, long), found{Decoded: transport.Decoded{In: []hub.Input{{Data: []byte(long)}}}}},
		{
			"fragments", slices.Concat(client(0x02, "a"), client(0x00, "b"), client(0x80, "c")),
			found{Decoded: transport.Decoded{In: []hub.Input{{Op: hub.Binary, Data: []byte("abc")}}}},
		},
		{
			"fragments that are empty", slices.Concat(client(0x01, ""), client(0x00, ""), client(0x80, "")),
			found{Decoded: transport.Decoded{In: []hub.Input{{}}}},
		},
		{
			"ping between", slices.Concat(client(0x01, "a"), client(0x89, "?"), client(0x80, "b")),
			found{Decoded: transport.Decoded{In: []hub.Input{{Data: []byte("ab")}}, Reply: []byte("\x8a\x01?")}},
		},
		{"pong", client(0x8a, "unasked"), found{}},
		{"close", client(0x88, "\x03\xe8done"), found{Decoded: transport.Decoded{Bye: true, Code: 1000, Reason: "done"}}},
		{"nothing after close", append(client(0x88, ""), client(0x81, "x")...), found{Decoded: transport.Decoded{Bye: true}}},
		{"close of one byte", client(0x88, "\x03"), found{err: "invalid: a close code is cut off: a close code is cut off"}},
		{"close 1005", client(0x88, "\x03\xed"), found{err: "invalid: a close code may not be used: a close code may not be used"}},
		{"close reason", client(0x88, "\x03\xe8\xff"), found{err: "invalid: a close reason is not UTF-8: a close reason is not UTF-8"}},
		{
			"too large at the header", client(0x81, strings.Repeat("x", 1001))[:8],
			found{err: "too large: the message is too large: the message is too large"},
		},
		{
			"length of 64 bits",
			[]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1},
			found{err: "invalid: a length is not in its shortest form: a length is not in its shortest form"},
		},
		{
			"length too long a form",
			[]byte{0x82, 0xfe, 0, 5, 1, 1, 1, 1},
			found{err: "invalid: a length is not in its shortest form: a length is not in its shortest form"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, len(test.in)} {
				if got := feed(t, r, test.in, size); !got.equal(&test.want) {
					t.Errorf("in pieces of %d: got %+v", size, got)
				}
			}
		})
	}
}

func TestCloseCodesThatMayBeReceived(t *testing.T) {
	for code, want := range map[int]bool{
		0: false, 999: false, 1000: true, 1003: true, 1004: false, 1005: false, 1006: false, 1007: true, 1014: true, 1015: false,
		1016: false, 2999: false, 3000: true, 4999: true, 5000: false, 65535: false,
	} {
		if received(code) != want {
			t.Errorf("received(%d) = %v", code, !want)
		}
	}
}

func TestControlFramesEarnTheirPlace(t *testing.T) {
	now := frozen()
	d := &decoder{rules: &rules{maxMessage: 1, now: func() time.Time { return now }}}
	ping := func() error {
		_, err := d.Decode(client(0x89, ""), &transport.Decoded{})
		return err
	}
	for i := range controlBurst {
		if err := ping(); err != nil {
			t.Fatalf("ping %d: %v", i, err)
		}
	}
	if ping() == nil {
		t.Error("a burst has no bound")
	}
	now = now.Add(2 * controlEvery)
	if err := ping(); err != nil {
		t.Error("nothing was earned:", err)
	}
	for range 100 {
		if now = now.Add(controlEvery); ping() != nil {
			t.Error("ten a second are too many")
		}
	}
}

// FuzzDecode: no input panics, what is held is bounded by what came, and the
// pieces that it comes in make no difference.
func FuzzDecode(f *testing.F) {
	f.Add(client(0x81, "hello"), uint8(1), false)
	f.Add(slices.Concat(client(0x01, "gr\xc3"), client(0x89, "?"), client(0x80, "\xbc"), client(0x88, "\x03\xe8")), uint8(2), false)
	f.Add(client(0x82, strings.Repeat("x", 300)), uint8(3), false)
	f.Add(client(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00"), uint8(3), true) // RFC 7692 §7.2.3.1
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1}, uint8(9), true)
	plainly := &rules{maxMessage: 4096, now: frozen}
	packed := &rules{maxMessage: 4096, now: frozen, deflater: newDeflater(0)}
	f.Fuzz(func(t *testing.T, b []byte, size uint8, deflate bool) {
		r := plainly
		if deflate {
			r = packed
		}
		whole := feed(t, r, slices.Clone(b), max(len(b), 1))
		for _, n := range []int{1, int(size) + 1} {
			if pieces := feed(t, r, slices.Clone(b), n); !pieces.equal(&whole) {
				t.Errorf("in pieces of %d: %+v, at once: %+v", n, pieces, whole)
			}
		}
		for _, m := range whole.In {
			if len(m.Data) > 4096 || m.Op == hub.Text && !utf8.Valid(m.Data) {
				t.Errorf("let through %q", m.Data)
			}
		}
	})
}

// FuzzFormat: what we write, a client reads.
func FuzzFormat(f *testing.F) {
	f.Add("head", "body", true, false)
	f.Add("", strings.Repeat("abc", 300), false, true)
	d := newDeflater(16)
	f.Fuzz(func(t *testing.T, head, body string, binary, deflate bool) {
		fr := &hub.Frame{Head: []byte(head), Body: []byte(body)}
		if binary {
			fr.Op = hub.Binary
		}
		var wire []byte
		if deflate {
			wire = deflated{deflater: d}.Append(wire, fr)
		} else {
			wire = plain{}.Append(wire, fr)
		}
		op, compressed, payload := readServerFrame(t, wire)
		if compressed {
			var err error
			if payload, err = d.inflate(payload, len(head)+len(body)); err != nil {
				t.Fatal(err)
			}
		}
		if op != opcodeOf(fr.Op) || string(payload) != head+body || compressed && !deflate {
			t.Errorf("read %v %q", op, payload)
		}
	})
}

// readServerFrame reads one whole frame that is not masked.
func readServerFrame(t *testing.T, b []byte) (op opcode, compressed bool, payload []byte) {
	t.Helper()
	if b[0]&(bitFin|bitsRSV23) != bitFin || b[1]&bitMask != 0 {
		t.Fatalf("the frame begins with %x", b[:2])
	}
	n, rest := int(b[1]), b[2:]
	switch n {
	case 126:
		n, rest = int(binary.BigEndian.Uint16(rest)), rest[2:]
	case 127:
		n, rest = int(binary.BigEndian.Uint64(rest)), rest[8:]
	}
	if n != len(rest) {
		t.Fatalf("the header says %d bytes, %d follow", n, len(rest))
	}
	return opcode(b[0] & 0x0f), b[0]&bitRSV1 != 0, rest
}

func TestWrittenFrames(t *testing.T) {
	for _, test := range []struct {
		frame *hub.Frame
		want  string
	}{
		{hub.TextFrame(nil), "\x81\x00"},
		{hub.TextFrame([]byte("hi")), "\x81\x02hi"},
		{hub.BinaryFrame([]byte("hi")).WithHead([]byte("oh ")), "\x82\x05oh hi"},
		{hub.TextFrame(make([]byte, 125)), "\x81\x7d" + string(make([]byte, 125))},
		{hub.TextFrame(make([]byte, 126)), "\x81\x7e\x00\x7e" + string(make([]byte, 126))},
		{hub.TextFrame(make([]byte, 65535)), "\x81\x7e\xff\xff" + string(make([]byte, 65535))},
		{hub.TextFrame(make([]byte, 65536)), "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + string(make([]byte, 65536))},
	} {
		if got := (plain{}).Append([]byte("before"), test.frame); string(got) != "before"+test.want {
			t.Errorf("%d bytes: got %.20q", test.frame.Len(), got)
		}
	}
}

func TestWrittenCloses(t *testing.T) {
	for _, test := range []struct {
		code   int
		reason string
		want   string
	}{
		{0, "", "\x88\x00"},
		{1000, "", "\x88\x02\x03\xe8"},
		{4008, "slow", "\x88\x06\x0f\xa8slow"},
		{1005, "", "\x88\x02\x03\xf3"},
		{70000, "x", "\x88\x03\x03\xf3x"},
		{1001, strings.Repeat("ü", 70), "\x88\x7c\x03\xe9" + strings.Repeat("ü", 61)},
	} {
		if got := closeFrame(test.code, test.reason); string(got) != test.want {
			t.Errorf("%d %q: got %q", test.code, test.reason, got)
		}
	}
}

func TestUnmask(t *testing.T) {
	key := [4]byte{1, 2, 3, 4}
	for n := range 40 {
		for pos := range 5 {
			src := bytes.Repeat([]byte{0x55}, n)
			got := make([]byte, n)
			unmask(got, src, key, pos)
			for i := range got {
				if got[i] != 0x55^key[(pos+i)&3] {
					t.Fatalf("n=%d pos=%d: byte %d is wrong", n, pos, i)
				}
			}
		}
	}
}

func TestInflateIsBounded(t *testing.T) {
	d := newDeflater(0)
	_, _, bomb := readServerFrame(t, d.frame(hub.BinaryFrame(make([]byte, 10<<20))))
	if _, err := d.inflate(bomb, 128<<10); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("%d bytes that become 10 MB: %v", len(bomb), err)
	}
	if _, err := d.inflate([]byte{0xff, 0xff, 0xff}, 100); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("garbage: %v", err)
	}
	text, err := d.inflate([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), 5) // RFC 7692 §7.2.3.1
	if err != nil || string(text) != "Hello" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestAnswerDeflate(t *testing.T) {
	for offer, want := range map[string]string{
		"":                   "",
		"permessage-deflate": deflateAnswer,
		"permessage-deflate; client_max_window_bits":                                                    deflateAnswer,
		"permessage-deflate; client_max_window_bits=10; server_no_context_takeover":                     deflateAnswer,
		"permessage-deflate; server_max_window_bits=15":                                                 deflateAnswer + windowAnswer,
		`permessage-deflate; server_max_window_bits="15"`:                                               deflateAnswer + windowAnswer,
		"permessage-deflate; server_max_window_bits=10":                                                 "",
		"permessage-deflate; server_max_window_bits=10, permessage-deflate; client_no_context_takeover": deflateAnswer,
		"permessage-deflate; client_max_window_bits=16":                                                 "",
		"permessage-deflate; client_max_window_bits=08":                                                 "",
		"permessage-deflate; unknown":                                                                   "",
		"permessage-deflate; client_no_context_takeover; client_no_context_takeover":                    "",
		"x-webkit-deflate-frame":                                                                        "",
	} {
		h := map[string][]string{"Sec-Websocket-Extensions": {offer}}
		if got := answerDeflate(h); got != want {
			t.Errorf("%q: answered %q", offer, got)
		}
	}
}
