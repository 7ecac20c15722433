package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func recordPromises() []promise {
	return []promise{
		{name: "a record is written by its revision", test: revisions},
		{name: "a record may be deleted and made again", test: deletions},
		{name: "a record that is refused", test: refusedRecords},
		{name: "records are read on every node", needs: []string{TwoNodes}, test: readYourWrites},
		{name: "records are read when the leader has changed", needs: []string{TwoNodes, StepDown}, test: readAfterStepDown},
		{name: "of many writers each counts", needs: []string{TwoNodes}, test: countTogether},
		{name: "a record ends by itself", test: recordEnds},
		{name: "a record's end outlasts its node", needs: []string{Reopen}, test: endOutlasts},
		{name: "records outlast a restart", needs: []string{Reopen}, test: recordsOutlast},
		{name: "a key is any bytes", test: recordKeys},
		{name: "records are listed in order", test: listRecords},
		{name: "many records are listed in pages", test: listPages},
	}
}

// putRecord writes a record, which must work.
func (s *suite) putRecord(node int, key hub.Key, data string, revision uint64, ttl time.Duration) uint64 {
	s.Helper()
	now, err := s.Nodes[node].Put(s.ctx, key, []byte(data), revision, ttl)
	if err != nil || now == 0 {
		s.Fatalf("put %q: revision %d, %v", key, now, err)
	}
	return now
}

// getRecord reads a record, which must work.
func (s *suite) getRecord(node int, key hub.Key) hub.Record {
	s.Helper()
	r, err := s.Nodes[node].Get(s.ctx, key)
	if err != nil {
		s.Fatalf("get %q: %v", key, err)
	}
	if r.Key.Compare(key) != 0 || (r.Revision == 0) != (r.Data == nil) {
		s.Fatalf("get %q: %+v", key, r)
	}
	return r
}

// wantRecord checks what is there; an empty text is no record.
func (s *suite) wantRecord(node int, key hub.Key, data string) {
	s.Helper()
	if r := s.getRecord(node, key); string(r.Data) != data {
		s.Errorf("%q has %q, not %q", key, r.Data, data)
	}
}

func (s *suite) wantCode(err error, code earshot.Code, what string) {
	s.Helper()
	if earshot.CodeOf(err) != code || err == nil {
		s.Errorf("%s: %v", what, err)
	}
}

func revisions(s *suite) {
	n, k := s.Nodes[0], hub.Key{"a", "b"}
	if r := s.getRecord(0, k); r.Revision != 0 {
		s.Fatalf("there is %+v", r)
	}
	_, err := n.Put(s.ctx, k, nil, 17, 0)
	s.wantCode(err, earshot.Conflict, "a revision of nothing")
	first := s.putRecord(0, k, "1", 0, 0)
	_, err = n.Put(s.ctx, k, nil, 0, 0)
	s.wantCode(err, earshot.Conflict, "none, where one is")
	other := s.putRecord(0, hub.Key{"a"}, "other", 0, 0)
	second := s.putRecord(0, k, "2", first, 0)
	_, err = n.Put(s.ctx, k, nil, first, 0)
	s.wantCode(err, earshot.Conflict, "an old revision")
	s.wantRecord(0, k, "2")
	third := s.putRecord(0, k, "3", hub.AnyRevision, 0)
	fourth := s.putRecord(0, hub.Key{"c"}, "4", hub.AnyRevision, 0)
	if !slices.IsSorted([]uint64{first, other, second, third, fourth}) {
		s.Errorf("the revisions are %d, %d, %d, %d and %d", first, other, second, third, fourth)
	}
	r := s.getRecord(0, k)
	if age := time.Since(r.Time); r.Revision != third || age < -time.Minute || age > time.Minute {
		s.Errorf("read %+v, written as %d", r, third)
	}
	s.putRecord(0, k, "", third, 0)
	if r := s.getRecord(0, k); r.Data == nil || len(r.Data) > 0 {
		s.Errorf("empty data is %v", r.Data)
	}
}

func deletions(s *suite) {
	n, k := s.Nodes[0], hub.Key{"d"}
	if err := errors.Join(n.Delete(s.ctx, k, hub.AnyRevision), n.Delete(s.ctx, k, 0)); err != nil {
		s.Errorf("deleting nothing: %v", err)
	}
	s.wantCode(n.Delete(s.ctx, k, 5), earshot.Conflict, "deleting a revision of nothing")
	last := uint64(0)
	for i := range 5 {
		made := s.putRecord(0, k, strconv.Itoa(i), 0, 0)
		s.wantCode(n.Delete(s.ctx, k, 0), earshot.Conflict, "deleting none, where one is")
		if i > 0 {
			s.wantCode(n.Delete(s.ctx, k, last), earshot.Conflict, "deleting an old revision")
			_, err := n.Put(s.ctx, k, nil, last, 0)
			s.wantCode(err, earshot.Conflict, "writing a revision that was deleted")
		}
		if made <= last {
			s.Errorf("revision %d after %d", made, last)
		}
		last = made
		s.wantRecord(0, k, strconv.Itoa(i))
		if err := n.Delete(s.ctx, k, []uint64{made, hub.AnyRevision}[i%2]); err != nil {
			s.Fatalf("delete: %v", err)
		}
		s.wantRecord(0, k, "")
		s.wantCode(n.Delete(s.ctx, k, made), earshot.Conflict, "deleting again")
		_, err := n.Put(s.ctx, k, nil, made, 0)
		s.wantCode(err, earshot.Conflict, "writing what was deleted")
	}
	s.putRecord(0, k, "any", hub.AnyRevision, 0)
	s.wantRecord(0, k, "any")
}

func refusedRecords(s *suite) {
	n := s.Nodes[0]
	_, err := n.Put(s.ctx, hub.Key{"a"}, make([]byte, hub.MaxRecord+1), 0, 0)
	s.wantCode(err, earshot.TooLarge, "too much data")
	s.putRecord(0, hub.Key{"a"}, strings.Repeat("x", hub.MaxRecord), 0, 0)
	if r := s.getRecord(0, hub.Key{"a"}); len(r.Data) != hub.MaxRecord {
		s.Errorf("%d bytes came back", len(r.Data))
	}
	for _, k := range []hub.Key{nil, {}, {strings.Repeat("x", 513)}, slices.Repeat(hub.Key{"x"}, 9), slices.Repeat(hub.Key{strings.Repeat("x", 401)}, 3)} {
		_, err := n.Put(s.ctx, k, nil, 0, 0)
		s.wantCode(err, earshot.Invalid, "put of a key that cannot be")
		_, err = n.Get(s.ctx, k)
		s.wantCode(err, earshot.Invalid, "get of a key that cannot be")
		s.wantCode(n.Delete(s.ctx, k, hub.AnyRevision), earshot.Invalid, "delete of a key that cannot be")
		if len(k) > 0 {
			_, _, err = n.List(s.ctx, k, nil, 1)
			s.wantCode(err, earshot.Invalid, "list of a key that cannot be")
		}
	}
}

func readYourWrites(s *suite) {
	k := hub.Key{"shared"}
	for i := range 200 {
		s.putRecord(i%2, k, strconv.Itoa(i+1), hub.AnyRevision, 0)
		s.wantRecord((i+1)%2, k, strconv.Itoa(i+1))
		if i%20 == 0 {
			if got, _ := s.list((i+1)%2, k, nil, 10); len(got) != 1 || string(got[0].Data) != strconv.Itoa(i+1) {
				s.Errorf("listed %v, written %d", got, i+1)
			}
		}
	}
}

// stubborn repeats what fails for a moment.
func (s *suite) stubborn(what string, try func() error) {
	s.Helper()
	s.until(what, func() bool {
		err := try()
		if err != nil && !earshot.CodeOf(err).Temporary() {
			s.Fatalf("%s: %v", what, err)
		}
		return err == nil
	})
}

func readAfterStepDown(s *suite) {
	for i := range 4 {
		k := hub.Key{"step", strconv.Itoa(i)}
		for j := range 20 {
			s.stubborn("a record is written", func() error {
				_, err := s.Nodes[0].Put(s.ctx, k, []byte(strconv.Itoa(j+1)), hub.AnyRevision, 0)
				return err
			})
		}
		s.StepDown()
		for node := range s.Nodes {
			s.stubborn("a record is read", func() error {
				r, err := s.Nodes[node].Get(s.ctx, k)
				if err == nil && string(r.Data) != "20" {
					s.Errorf("node %d reads %q after the step", node, r.Data)
				}
				return err
			})
			s.stubborn("records are listed", func() error {
				rs, _, err := s.Nodes[node].List(s.ctx, k, nil, 10)
				if err == nil && (len(rs) != 1 || string(rs[0].Data) != "20") {
					s.Errorf("node %d lists %v after the step", node, rs)
				}
				return err
			})
		}
	}
}

// countTogether raises a number on both nodes by its revision.
func countTogether(s *suite) {
	const writers, each = 6, 15
	k := hub.Key{"count"}
	var all sync.WaitGroup
	for w := range writers {
		n := s.Nodes[w%2]
		all.Go(func() {
			for done := 0; done < each && s.ctx.Err() == nil; {
				r, err := n.Get(s.ctx, k)
				if err != nil {
					s.Errorf("get: %v", err)
					return
				}
				i, _ := strconv.Atoi(string(r.Data))
				switch _, err = n.Put(s.ctx, k, []byte(strconv.Itoa(i+1)), r.Revision, 0); earshot.CodeOf(err) {
				case earshot.Conflict:
				default:
					if err != nil {
						s.Errorf("put: %v", err)
						return
					}
					done++
				}
			}
		})
	}
	all.Wait()
	s.wantRecord(0, k, strconv.Itoa(writers*each))
}

// lateness is how much later than promised a record may end.
const lateness = 4 * time.Second

func recordEnds(s *suite) {
	w := s.watch(0, hub.Key{"t"})
	begin := time.Now()
	short, kept, more := hub.Key{"t", "short"}, hub.Key{"t", "kept"}, hub.Key{"t", "more"}
	revision := s.putRecord(0, short, "1", 0, time.Second)
	s.putRecord(0, kept, "1", 0, time.Second)
	s.putRecord(0, kept, "2", hub.AnyRevision, 0)
	s.putRecord(0, more, "1", 0, time.Second)
	s.putRecord(0, more, "2", hub.AnyRevision, 5*time.Second)
	s.wantRecord(0, short, "1")
	s.until("the record ends", func() bool { return s.getRecord(0, short).Revision == 0 })
	if age := time.Since(begin); age < time.Second || age > time.Second+lateness {
		s.Errorf("a record for a second ended after %v", age)
	}
	s.until("its end is told", func() bool { return w.last(short) == "gone" })
	if age := time.Since(begin); age > time.Second+lateness {
		s.Errorf("a record for a second was told to end after %v", age)
	}
	_, err := s.Nodes[0].Put(s.ctx, short, nil, revision, 0)
	s.wantCode(err, earshot.Conflict, "writing a record that has ended")
	if got, _ := s.list(0, hub.Key{"t"}, nil, 10); len(got) != 2 {
		s.Errorf("listed %v", got)
	}
	s.putRecord(0, short, "again", 0, 0)
	s.until("the one that was given more time ends", func() bool { return w.last(more) == "gone" })
	if age := time.Since(begin); age < 5*time.Second || age > 5*time.Second+lateness {
		s.Errorf("a record for five seconds ended after %v", age)
	}
	s.wantRecord(0, more, "")
	s.wantRecord(0, kept, "2")
	s.wantRecord(0, short, "again")
}

func endOutlasts(s *suite) {
	begin := time.Now()
	s.putRecord(0, hub.Key{"t", "1"}, "1", 0, 2*time.Second)
	s.putRecord(0, hub.Key{"t", "2"}, "2", 0, time.Hour)
	s.Reopen()
	w := s.watch(0, hub.Key{"t"})
	s.until("the record ends", func() bool { return s.getRecord(0, hub.Key{"t", "1"}).Revision == 0 })
	if age := time.Since(begin); age < 2*time.Second || age > 2*time.Second+lateness {
		s.Errorf("a record for two seconds ended after %v", age)
	}
	s.until("its end is told", func() bool { return w.last(hub.Key{"t", "1"}) != "1" })
	s.wantRecord(0, hub.Key{"t", "2"}, "2")
}

func recordsOutlast(s *suite) {
	a := s.putRecord(0, hub.Key{"a"}, "1", 0, 0)
	s.putRecord(0, hub.Key{"b"}, "1", 0, 0)
	if err := s.Nodes[0].Delete(s.ctx, hub.Key{"b"}, hub.AnyRevision); err != nil {
		s.Fatal(err)
	}
	s.Reopen()
	s.wantRecord(0, hub.Key{"a"}, "1")
	s.wantRecord(0, hub.Key{"b"}, "")
	if b := s.putRecord(0, hub.Key{"b"}, "2", 0, 0); b <= a {
		s.Errorf("revision %d after %d", b, a)
	}
	s.putRecord(0, hub.Key{"a"}, "2", a, 0)
}

// oddKeys are keys of which each is another one, in their order.
func oddKeys() []hub.Key {
	long := strings.Repeat("\xff", 400)
	keys := []hub.Key{
		{""},
		{"", ""},
		{"", "", ""},
		{"", "a"},
		{"\x00"},
		{"\x00", "a"},
		{"\x00a"},
		{" "},
		{"*"},
		{">"},
		{"a", "b"},
		{"a.b"},
		{"a/b"},
		{"a_"},
		{"_"},
		{"__"},
		{"a", "*"},
		{"a", ">"},
		{"$JS"},
		{"A"},
		{"a"},
		{"é"},
		{"\xff"},
		{"\xff\xfe", "\x80"},
		{"a\r\n"},
		{"1:a"},
		{long, long, long},
		{long, long, long[:399] + "\xfe"},
		{strings.Repeat("x", 512), strings.Repeat("y", 512), strings.Repeat("\x00", 176)},
		{"", "", "", "", "", "", "", ""},
		{"1", "2", "3", "4", "5", "6", "7", strings.Repeat("\n", 512)},
	}
	slices.SortFunc(keys, hub.Key.Compare)
	return keys
}

func recordKeys(s *suite) {
	w := s.watch(0, nil)
	keys := oddKeys()
	for _, k := range keys {
		s.putRecord(0, k, "of "+fmt.Sprintf("%q", []string(k)), 0, 0)
	}
	for _, k := range keys {
		s.wantRecord(0, k, "of "+fmt.Sprintf("%q", []string(k)))
		s.until("a change is told", func() bool { return w.last(k) == "of "+fmt.Sprintf("%q", []string(k)) })
	}
	got, more := s.list(0, nil, nil, 100)
	if !slices.EqualFunc(got, keys, func(r hub.Record, k hub.Key) bool { return r.Key.Compare(k) == 0 }) || more {
		s.Errorf("listed %d of %d, or in another order; more: %v", len(got), len(keys), more)
	}
	for i, k := range keys {
		rest, _ := s.list(0, nil, k, 100)
		if len(rest) != len(keys)-i-1 {
			s.Errorf("%d come after %q, not %d", len(rest), k, len(keys)-i-1)
		}
		below := 0
		for _, other := range keys {
			if other.In(k) {
				below++
			}
		}
		if in, _ := s.list(0, k, nil, 100); len(in) != below {
			s.Errorf("%d are in %q, not %d", len(in), k, below)
		}
	}
	for _, k := range keys {
		if err := s.Nodes[0].Delete(s.ctx, k, hub.AnyRevision); err != nil {
			s.Errorf("delete %q: %v", k, err)
		}
	}
	if got, _ := s.list(0, nil, nil, 100); len(got) > 0 {
		s.Errorf("%d are left", len(got))
	}
}
