package transport

import (
	"bytes"
	"testing"

	"github.com/earshot-io/earshot/hub"
)

// TestWroteFindsItsPlace splits a batch at every byte.
func TestWroteFindsItsPlace(t *testing.T) {
	frames := []*hub.Frame{raw([]byte("abc")), raw([]byte("d")), raw([]byte("efghi"))}
	whole := "abcdefghi"
	for first := range len(whole) + 1 {
		for second := range len(whole) - first + 1 {
			c := &Conn{loop: &loop{}, kind: &Kind{Format: &lines{}}}
			for _, f := range frames {
				c.Push(f)
			}
			var b batch
			got := ""
			for _, n := range []int{first, second, len(whole) - first - second} {
				if n == 0 {
					continue
				}
				b.build(c.kind.Format, c.queue)
				got += string(b.bytes[c.offset : int(c.offset)+n])
				c.wrote(&b, n)
			}
			if got != whole || c.queue != nil || c.waiting != 0 || c.offset != 0 || c.loop.counts.framesOut != 3 {
				t.Errorf("split at %d and %d: wrote %q, left %d frames, %d bytes, offset %d", first, second, got, len(c.queue), c.waiting, c.offset)
			}
		}
	}
}

func TestBatchIsReusedOnlyForTheSame(t *testing.T) {
	one, two, big := raw([]byte("1")), raw([]byte("2")), raw(make([]byte, writeSize-2))
	f, g := &lines{}, &lines{silent: true}
	var b batch
	for i, test := range []struct {
		format Format
		queue  []*hub.Frame
		reused bool
		frames int
	}{
		{f, []*hub.Frame{one, two}, false, 2},
		{f, []*hub.Frame{one, two}, true, 2},
		{g, []*hub.Frame{one, two}, false, 2},
		{g, []*hub.Frame{one}, false, 1},
		{g, []*hub.Frame{one, two}, false, 2},
		{g, []*hub.Frame{two, one}, false, 2},
		{g, []*hub.Frame{big, one, two}, false, 1},
		{g, []*hub.Frame{big, one}, true, 1},
	} {
		if got := b.has(test.format, test.queue); got != test.reused {
			t.Errorf("%d: reused %v", i, got)
		}
		b.build(test.format, test.queue)
		var want []byte
		for _, f := range test.queue[:test.frames] {
			want = append(want, f.Body...)
		}
		if len(b.frames) != test.frames || !bytes.Equal(b.bytes, want) {
			t.Errorf("%d: %d frames, %d bytes", i, len(b.frames), len(b.bytes))
		}
	}
}

func TestQueuesAreSpared(t *testing.T) {
	var s spares
	c := &Conn{loop: &loop{}, kind: &Kind{}}
	for n := range 5000 {
		c.Push(raw([]byte{byte(n)}))
	}
	for n, f := range c.queue {
		if f.Body[0] != byte(n) {
			t.Fatalf("frame %d is %d", n, f.Body[0])
		}
	}
	for class := range c.loop.spare {
		if got := len(c.loop.spare[class]); got != 1 {
			t.Errorf("%d queues of %d are spared", got, capacity(class))
		}
	}
	full := s.grow(make([]*hub.Frame, 8))
	if cap(full) != capacity(1) || len(s[0]) != 1 || len(s[0][0]) != 0 || s[0][0][:8][7] != nil {
		t.Errorf("grew to %d, spared %v", cap(full), s[0])
	}
}

func TestBurstsEnd(t *testing.T) {
	var b bursts
	for i, test := range []struct {
		changes, frames uint64
		over            bool
	}{
		{0, 0, false},
		{10, 0, false},         // a few come
		{400, 0, false},        // many come
		{800, 0, false},        // and more
		{810, 0, true},         // that was all
		{820, 0, false},        // it is done once
		{1200, 50_000, false},  // many again, and busy
		{1200, 100_000, false}, // only busy
		{1200, 100_100, true},
		{1200, 200_000, false}, // busy without anybody new
		{1200, 200_000, true},
		{1200, 200_000, false},
	} {
		if got := b.over(test.changes, test.frames); got != test.over {
			t.Errorf("look %d: over is %v", i, got)
		}
	}
}
