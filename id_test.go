package earshot

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

func TestIDHoldsItsPosition(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_123)
	for _, p := range []Position{{1, 1}, {65535, 1<<64 - 1}, {7, 1 << 40}} {
		id := NewID(at, p)
		back, err := ParseID(id.String())
		if err != nil || back != id || id.Position() != p || !id.Time().Equal(at) {
			t.Errorf("%v of %+v: %v %v at %v", id, p, back, err, id.Time())
		}
	}
	if p := NewID(at, Position{0, 99}).Position(); !p.IsZero() {
		t.Errorf("a live id has the position %+v", p)
	}
	if !(ID{}).IsZero() || NewID(at, Position{}).IsZero() {
		t.Error("only the zero id is none")
	}
}

// TestIDsSort has messages in the order in which a stream stores them.
func TestIDsSort(t *testing.T) {
	var last ID
	for _, c := range []struct {
		ms    int64
		epoch uint16
		seq   uint64
	}{{1, 1, 1}, {1, 1, 2}, {1, 1, 256}, {1, 2, 1}, {2, 1, 1}, {2, 1, 1 << 63}, {3, 9, 1}} {
		id := NewID(time.UnixMilli(c.ms), Position{c.epoch, c.seq})
		if bytes.Compare(id[:], last[:]) <= 0 || id.String() <= last.String() && !last.IsZero() {
			t.Errorf("%+v does not come after the one before", c)
		}
		last = id
	}
}

func TestIDOutOfTime(t *testing.T) {
	for _, at := range []time.Time{time.UnixMilli(-1), {}, time.Unix(1<<40, 0)} {
		id := NewID(at, Position{1, 2})
		if back, err := ParseID(id.String()); err != nil || back != id || id.Position() != (Position{1, 2}) {
			t.Errorf("at %v: %v %v", at, back, err)
		}
	}
}

func TestParseIDRefuses(t *testing.T) {
	good := NewID(time.UnixMilli(1), Position{1, 1}).String()
	for _, s := range []string{"", "0", good[1:], good + "0", "8" + good[1:], "Z" + good[1:], good[:25] + "U", good[:25] + "!", good[:24] + "é"} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q was read as %v", s, id)
		}
	}
}

func FuzzID(f *testing.F) {
	f.Add("01ARZ3NDEKTSV4RRFFQ69G5FAV", []byte("0123456789abcdef"))
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, s string, raw []byte) {
		if id, err := ParseID(s); err == nil {
			again, err := ParseID(id.String())
			if err != nil || again != id || len(s) != 26 {
				t.Errorf("%q is %v, which is %v (%v)", s, id, again, err)
			}
		}
		var id ID
		if len(raw) < len(id) {
			return
		}
		copy(id[:], raw)
		text, err := id.AppendText([]byte("x"))
		if err != nil || string(text) != "x"+id.String() {
			t.Errorf("AppendText %q, %v", text, err)
		}
		back, err := ParseID(id.String())
		if err != nil || back != id {
			t.Errorf("%v is read as %v (%v)", id, back, err)
		}
		if p := id.Position(); !p.IsZero() && NewID(id.Time(), p) != id {
			t.Errorf("%v is not derived from %v and %+v", id, id.Time(), p)
		}
	})
}

func TestConnID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewConnID()
		s := id.String()
		back, ok := ParseConnID(s)
		if !ok || back != id || len(s) != 16 || seen[s] || id.IsZero() {
			t.Fatalf("%q: %v %v", s, back, ok)
		}
		seen[s] = true
	}
	good := NewConnID().String()
	for _, s := range []string{"", good[1:], good + "=", "AAAAAAAAAAAAAAB=", "AAAAAAAAAAAAAA+=", "AAAAAAAAAAAAAAAA", "\nAAAAAAAAAAAAAA="} {
		if id, ok := ParseConnID(s); ok {
			t.Errorf("%q was read as %v", s, id)
		}
	}
}

func TestCodesHaveNames(t *testing.T) {
	var names []string
	for _, c := range Codes() {
		if c.String() == "" || slices.Contains(names, c.String()) {
			t.Errorf("code %d is called %q", c, c)
		}
		names = append(names, c.String())
	}
}
