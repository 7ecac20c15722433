package phoenix

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// TestTicket: a token says what it was made of, for 14 days.
func TestTicket(t *testing.T) {
	s := &stamp{}
	want := ticket{node: "a node", session: earshot.NewConnID(), version: v2}
	now := time.Unix(1_700_000_000, 0)
	token, err := s.issue(t.Context(), want, now)
	if err != nil {
		t.Fatal(err)
	}
	for after, ok := range map[time.Duration]bool{0: true, 14*24*time.Hour - time.Second: true, 14 * 24 * time.Hour: false} {
		if got, fine, err := s.read(t.Context(), token, now.Add(after)); fine != ok || err != nil || got != want {
			t.Errorf("after %v: %+v, %v, %v", after, got, fine, err)
		}
	}
	other := &stamp{}
	for name, bad := range map[string]string{"nothing": "", "cut": token[:len(token)-1], "short": token[:20], "long": strings.Repeat(token, 10), "no base64": "*" + token[1:]} {
		if _, ok, err := s.read(t.Context(), bad, now); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if _, ok, _ := other.read(t.Context(), token, now); ok {
		t.Error("a token of another key is taken")
	}
}

// TestStampIsShared: all nodes get one key, also when they ask at once, and keep
// it when they start again.
func TestStampIsShared(t *testing.T) {
	store := mem.NewStore(mem.Config{})
	keys := make([][]byte, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			e := store.Node()
			defer e.Close(t.Context())
			key, err := (&stamp{records: e}).secret(t.Context())
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	all.Wait()
	for i := range keys {
		if len(keys[i]) != 32 || !bytes.Equal(keys[i], keys[0]) {
			t.Errorf("node %d has another key", i)
		}
	}
	e := store.Node()
	defer e.Close(t.Context())
	store.OnPut(func(int, hub.Key) mem.Outcome { return mem.Outcome{Err: earshot.Errorf(earshot.Unavailable, "away")} })
	if key, err := (&stamp{records: e}).secret(t.Context()); err != nil || !bytes.Equal(key, keys[0]) {
		t.Errorf("without writing: %v", err)
	}
	if _, err := (&stamp{records: mem.NewStore(mem.Config{}).Node()}).secret(t.Context()); err != nil {
		t.Error(err)
	}
}
