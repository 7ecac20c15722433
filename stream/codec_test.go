package stream

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/transport"
)

// cutLines cuts at line feeds; "bad" is refused.
func cutLines(data []byte) (int, hub.Input, error) {
	i := bytes.IndexByte(data, '\n')
	if i < 0 {
		return 0, hub.Input{}, nil
	}
	if string(data[:i]) == "bad" {
		return 0, hub.Input{}, errors.New("bad")
	}
	return i + 1, hub.Input{Op: hub.Binary, Data: data[:i]}, nil
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		in    string
		want  []string
		taken int
		code  earshot.Code
		fails bool
	}{
		{in: "a\nbc\nd", want: []string{"a", "bc"}, taken: 5},
		{in: "", taken: 0},
		{in: "\n\n\n", taken: 3}, // heartbeats are no messages
		{in: "12345678", taken: 0},
		{in: "123456789", taken: 0, fails: true, code: earshot.TooLarge},
		{in: "a\n123456789", want: []string{"a"}, taken: 2, fails: true, code: earshot.TooLarge},
		{in: "12345678\n", taken: 0, fails: true, code: earshot.TooLarge},
		{in: "a\nbad\nb\n", want: []string{"a"}, taken: 2, fails: true, code: earshot.Internal},
	} {
		d := &decoder{cut: cutLines, max: 8}
		var out transport.Decoded
		in := []byte(c.in)
		taken, err := d.Decode(in, &out)
		for i := range in {
			in[i] = '?' // what was decoded is copied
		}
		var got []string
		for _, m := range out.In {
			if got = append(got, string(m.Data)); m.Op != hub.Binary {
				t.Errorf("%q: the op is lost", c.in)
			}
		}
		if taken != c.taken || !slices.Equal(got, c.want) || (err != nil) != c.fails || err != nil && earshot.CodeOf(err) != c.code {
			t.Errorf("Decode(%q) = %q, %d, %v", c.in, got, taken, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("a\nbc\n\nd", 3)
	f.Add(strings.Repeat("x\n", 50), 7)
	f.Fuzz(func(t *testing.T, in string, step int) {
		whole := decodeBy(t, in, len(in)+1)
		if got := decodeBy(t, in, max(step, 1)); !slices.Equal(got, whole) {
			t.Errorf("in steps of %d: %q, at once: %q", step, got, whole)
		}
	})
}

// decodeBy decodes in steps, as a transport does.
func decodeBy(t *testing.T, in string, step int) (got []string) {
	d := &decoder{cut: cutLines, max: 64}
	var out transport.Decoded
	var held []byte
	for len(in) > 0 {
		n := min(step, len(in))
		held = append(held, in[:n]...)
		in = in[n:]
		taken, err := d.Decode(held, &out)
		if taken < 0 || taken > len(held) {
			t.Fatalf("took %d of %d", taken, len(held))
		}
		if err != nil {
			break
		}
		held = held[taken:]
	}
	for _, m := range out.In {
		if strings.Contains(string(m.Data), "\n") || len(m.Data) == 0 {
			t.Errorf("cut %q", m.Data)
		}
		got = append(got, string(m.Data))
	}
	return got
}

func TestFormat(t *testing.T) {
	f := hub.TextFrame([]byte("body")).WithHead([]byte("head "))
	if got := (format{}).Append([]byte("before "), f); string(got) != "before head body" {
		t.Errorf("wrote %q", got)
	}
	if (format{}).Goodbye(1000, "x") != nil || (format{}).Ping() != nil {
		t.Error("a stream has no words of its own")
	}
}
