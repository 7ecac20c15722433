package enginetest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/earshot-io/earshot/hub"
)

func (s *suite) list(node int, prefix, after hub.Key, limit int) ([]hub.Record, bool) {
	s.Helper()
	rs, more, err := s.Nodes[node].List(s.ctx, prefix, after, limit)
	if err != nil {
		s.Fatalf("list %q: %v", prefix, err)
	}
	for _, r := range rs {
		if !r.Key.In(prefix) || r.Revision == 0 || r.Data == nil || r.Time.IsZero() {
			s.Errorf("listed %+v in %q", r, prefix)
		}
	}
	return rs, more
}

func listRecords(s *suite) {
	if got, more := s.list(0, hub.Key{"l"}, nil, 5); len(got) > 0 || more {
		s.Errorf("listed %v of nothing", got)
	}
	for _, k := range []hub.Key{{"l", "b"}, {"l", "a", "1"}, {"l"}, {"la"}, {"k", "a"}, {"l", "a"}, {"l", "gone"}, {"m"}} {
		s.putRecord(0, k, k.String(), 0, 0)
	}
	if err := s.Nodes[0].Delete(s.ctx, hub.Key{"l", "gone"}, hub.AnyRevision); err != nil {
		s.Fatal(err)
	}
	for _, c := range []struct {
		prefix, after hub.Key
		limit         int
		want          string
		more          bool
	}{
		{hub.Key{"l"}, nil, 10, "l l/a l/a/1 l/b", false},
		{hub.Key{"l"}, nil, 4, "l l/a l/a/1 l/b", false},
		{hub.Key{"l"}, nil, 3, "l l/a l/a/1", true},
		{hub.Key{"l"}, hub.Key{"l", "a"}, 1, "l/a/1", true},
		{hub.Key{"l"}, hub.Key{"l", "aa"}, 10, "l/b", false},
		{hub.Key{"l"}, hub.Key{"l", "b"}, 10, "", false},
		{hub.Key{"l", "a"}, nil, 10, "l/a l/a/1", false},
		{hub.Key{"l", "gone"}, nil, 10, "", false},
		{nil, nil, 10, "k/a l l/a l/a/1 l/b la m", false},
		{nil, hub.Key{"l", "b"}, 1, "la", true},
	} {
		got, more := s.list(0, c.prefix, c.after, c.limit)
		var names []string
		for _, r := range got {
			if names = append(names, r.Key.String()); string(r.Data) != r.Key.String() {
				s.Errorf("%s has the data of %s", r.Key, r.Data)
			}
		}
		if strings.Join(names, " ") != c.want || more != c.more {
			s.Errorf("%d in %q after %q: %q, more %v", c.limit, c.prefix, c.after, names, more)
		}
	}
}

// manyRecords is enough for several batches of any engine.
const manyRecords = 3000

func listPages(s *suite) {
	var all sync.WaitGroup
	for w := range 32 {
		all.Go(func() {
			for i := w; i < manyRecords; i += 32 {
				if _, err := s.Nodes[0].Put(s.ctx, hub.Key{"many", fmt.Sprintf("%05d", i)}, []byte(strconv.Itoa(i)), 0, 0); err != nil {
					s.Errorf("put: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	begin := time.Now()
	for _, limit := range []int{manyRecords, 1000, 999} {
		var after hub.Key
		n, more := 0, true
		for more {
			var page []hub.Record
			if page, more = s.list(0, hub.Key{"many"}, after, limit); len(page) == 0 || len(page) > limit {
				s.Fatalf("a page of %d", len(page))
			}
			for _, r := range page {
				if string(r.Data) != strconv.Itoa(n) {
					s.Fatalf("number %d is %q in %q", n, r.Data, r.Key)
				}
				n++
			}
			after = page[len(page)-1].Key
		}
		if n != manyRecords {
			s.Errorf("%d were listed with pages of %d", n, limit)
		}
	}
	s.Logf("three times %d records were listed in %v", manyRecords, time.Since(begin))
	// More than fits into a page.
	for i := range 20 {
		s.putRecord(0, hub.Key{"large", fmt.Sprintf("%02d", i)}, strings.Repeat("x", hub.MaxRecord), 0, 0)
	}
	n, more, after := 0, true, hub.Key(nil)
	for more {
		var page []hub.Record
		page, more = s.list(0, hub.Key{"large"}, after, 100)
		n, after = n+len(page), page[len(page)-1].Key
	}
	if n != 20 {
		s.Errorf("%d large ones were listed", n)
	}
}
