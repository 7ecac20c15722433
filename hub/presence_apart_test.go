package hub_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// apart joins a channel, the connection as a member by itself.
func (r *rig) apart(channel, uid, meta string) *watcher {
	r.Helper()
	w := &watcher{client: r.connect(user(uid, meta))}
	sub, _, err := w.conn.Subscribe(context.Background(), hub.Join{Channel: channel, Encoding: noticing(), Present: true, Apart: true})
	if err != nil {
		r.Fatal(err)
	}
	w.sub, w.view = sub, showAll(sub.Members())
	if err := sub.Start(context.Background()); err != nil {
		r.Fatal(err)
	}
	return w
}

// told are the notices that a client was sent, as "word uid umd", and their seats.
func (w *watcher) told() (notices []string, seats []string) {
	w.Helper()
	for _, frame := range w.take() {
		var n struct {
			Member struct {
				UID, Seat string
				UMD       json.RawMessage
			}
			Members []json.RawMessage
		}
		word, data, _ := strings.Cut(frame, " ")
		if err := json.Unmarshal([]byte(data), &n); err != nil {
			w.Fatalf("%v: %s", err, frame)
		}
		notices = append(notices, word+" "+n.Member.UID+" "+string(n.Member.UMD))
		seats = append(seats, n.Member.Seat)
	}
	return notices, seats
}

// TestMembersApart: two connections of a user are two members, on one node or on
// two, each with its own metadata; a node that dies takes its own with it.
func TestMembersApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, two := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
		time.Sleep(time.Second)
		wants := func(w *watcher, want ...string) (seats []string) {
			t.Helper()
			synctest.Wait()
			got, seats := w.told()
			if len(got) != len(want) {
				t.Fatalf("told %q, want %q", got, want)
			}
			for i := range got {
				if got[i] != want[i] || seats[i] == "" {
					t.Errorf("told %q with seat %q, want %q", got[i], seats[i], want[i])
				}
			}
			return seats
		}
		w := one.apart("live:p", "w", "")
		first := one.apart("live:p", "a", "1")
		again := one.apart("live:p", "a", "1")
		synctest.Wait()
		far := two.apart("live:p", "a", "2")
		seats := wants(w, "added a 1", "added a 1", "added a 2")
		if seats[0] == seats[1] || seats[1] == seats[2] || seats[0] == seats[2] {
			t.Errorf("seats %q are not of one each", seats)
		}
		if got := showAll(far.sub.Members()); len(got) != 0 {
			t.Errorf("after its start: %q", got)
		}
		if len(far.view) != 4 {
			t.Errorf("the list at the join was %q", far.view)
		}
		if err := first.conn.SetMeta(context.Background(), "live:p", []byte("3")); err != nil {
			t.Error(err)
		}
		if s := wants(w, "updated a 3"); s[0] != seats[0] {
			t.Errorf("seat %q has new metadata, not %q", s[0], seats[0])
		}
		again.leave()
		if s := wants(w, "removed a 1"); s[0] != seats[1] {
			t.Errorf("seat %q is free, not %q", s[0], seats[1])
		}
		two.kill()
		time.Sleep(10 * time.Second)
		if s := wants(w, "removed a 2"); s[0] != seats[2] {
			t.Errorf("seat %q is free, not %q", s[0], seats[2])
		}
		first.leave()
		wants(w, "removed a 3")
	})
}
