package phoenix

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/hub"
)

// TestMessagesOf is what a post holds (B.6).
func TestMessagesOf(t *testing.T) {
	text := func(s string) hub.Input { return hub.Input{Data: []byte(s)} }
	push, err := hex.DecodeString("00010106063335726f6f6d3a3175706c6f6164010203")
	if err != nil {
		t.Fatal(err)
	}
	packed := base64.StdEncoding.EncodeToString(push)
	for _, c := range []struct {
		kind, body string
		want       []hub.Input
		status     int
	}{
		{"application/json", `{"a":1}`, []hub.Input{text(`{"a":1}`)}, 200},
		{"application/json", "[1]\n[2]", []hub.Input{text("[1]\n[2]")}, 200},
		{"", "[1]", []hub.Input{text("[1]")}, 200},
		{"text/plain", "", []hub.Input{text("")}, 200},
		{"text/plain", "\xff", nil, 400},
		{"application/x-ndjson", "[1]\n[2]\r\n[3]", []hub.Input{text("[1]"), text("[2]"), text("[3]")}, 200},
		{"Application/X-NDJSON; charset=UTF-8", "[1]", []hub.Input{text("[1]")}, 200},
		{"application/x-ndjson", "", nil, 200},
		{"application/x-ndjson", "\n\r\n", nil, 200},
		{"application/x-ndjson", `{"topic":1}`, []hub.Input{text(`{"topic":1}`)}, 200},
		{"application/x-ndjson", packed + "\n[1]", []hub.Input{{Op: hub.Binary, Data: push}, text("[1]")}, 200},
		{"application/x-ndjson", "[1]\n*", nil, 400},
		{"application/x-ndjson", "[\xff", nil, 400},
		{"application/x-ndjson", strings.Repeat("[]\n", 100), slices.Repeat([]hub.Input{text("[]")}, 100), 200},
		{"application/x-ndjson", strings.Repeat("[]\n", 101), nil, 413},
		{"application/x-ndjson", "[" + strings.Repeat(" ", maxPosted), nil, 413},
		{"application/x-ndjson", strings.Repeat("AAAA", maxPosted/3+1), nil, 413},
		{"application/json", strings.Repeat(" ", maxPosted+1), nil, 413},
	} {
		got, status := messagesOf(c.kind, c.body)
		same := slices.EqualFunc(got, c.want, func(a, b hub.Input) bool { return a.Op == b.Op && bytes.Equal(a.Data, b.Data) })
		if status != c.status || status == 200 && !same {
			t.Errorf("%s %.40q: %d, %d messages", c.kind, c.body, status, len(got))
		}
	}
}

// FuzzMessagesOf: whatever is posted, what is taken is bounded, and text is UTF-8.
func FuzzMessagesOf(f *testing.F) {
	f.Add(true, "[1]\r\nAAEC\n")
	f.Add(false, `{"topic":"t"}`)
	f.Fuzz(func(t *testing.T, batch bool, body string) {
		kind := "application/json"
		if batch {
			kind = ndjson
		}
		in, status := messagesOf(kind, body)
		if status != 200 && status != 400 && status != 413 || len(in) > maxLines {
			t.Fatalf("%d, %d messages", status, len(in))
		}
		for _, m := range in {
			if len(m.Data) > maxPosted || m.Op == hub.Text && strings.ToValidUTF8(string(m.Data), "") != string(m.Data) {
				t.Fatalf("took %.40q", m.Data)
			}
		}
	})
}
