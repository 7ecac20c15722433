package usage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/usage"
)

// TestMinutes counts for two apps in the minutes, hours and days that it was in.
func TestMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A bubble begins on 2000-01-01 at 00:00.
		begin := time.Now()
		store := mem.NewStore(mem.Config{})
		s := start(t, store)
		s.meter.sends("one", 3)
		s.meter.connects("one", 7)
		time.Sleep(30 * time.Second)
		s.meter.connects("one", 2)
		if rows := read(t, store, "one", usage.Minute, begin, time.Now()); len(rows) != 0 {
			t.Error("the minute is written before it is over:", rows)
		}
		time.Sleep(40 * time.Second)
		s.meter.sends("one", 1)
		s.meter.sends("two", 5)
		time.Sleep(2 * time.Minute)
		s.meter.connects("one", 0)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		expect(t, "minutes", read(t, store, "one", usage.Minute, begin, time.Now()),
			"01 00:00 in=3 out=6 bytes=30/90 calls=3 failures=1 peak=7",
			"01 00:01 in=1 out=2 bytes=10/30 calls=1 failures=1 peak=2",
			"01 00:02 in=0 out=0 bytes=0/0 calls=0 failures=0 peak=2",
			"01 00:03 in=0 out=0 bytes=0/0 calls=0 failures=0 peak=2",
		)
		expect(t, "hours", read(t, store, "one", usage.Hour, begin, time.Now()),
			"01 00:00 in=4 out=8 bytes=40/120 calls=4 failures=2 peak=7")
		expect(t, "days", read(t, store, "one", usage.Day, begin, time.Now()),
			"01 00:00 in=4 out=8 bytes=40/120 calls=4 failures=2 peak=7")
		expect(t, "another app's", read(t, store, "two", usage.Hour, begin, time.Now()),
			"01 00:00 in=5 out=10 bytes=50/150 calls=5 failures=1 peak=0")
		expect(t, "nobody's", read(t, store, "on", usage.Hour, begin, time.Now()))
		expect(t, "two minutes", read(t, store, "one", usage.Minute, begin.Add(90*time.Second), begin.Add(3*time.Minute)),
			"01 00:01 in=1 out=2 bytes=10/30 calls=1 failures=1 peak=2",
			"01 00:02 in=0 out=0 bytes=0/0 calls=0 failures=0 peak=2",
		)
	})
}

// TestMidnight: what was counted before is the old day's.
func TestMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		store := mem.NewStore(mem.Config{})
		time.Sleep(24*time.Hour - 2*time.Second)
		s := start(t, store)
		s.meter.sends("a", 1)
		time.Sleep(2500 * time.Millisecond)
		s.meter.sends("a", 10)
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, g := range []usage.Granularity{usage.Day, usage.Hour, usage.Minute} {
			rows := read(t, store, "a", g, begin, time.Now())
			if len(rows) != 2 || rows[0].MessagesIn != 1 || rows[1].MessagesIn != 10 || !rows[1].Start.Equal(begin.Add(24*time.Hour)) {
				t.Errorf("%s: %v", g, texts(rows))
			}
		}
	})
}

// TestKept keeps each granularity as long as it says, and no longer.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		store := mem.NewStore(mem.Config{})
		s := start(t, store)
		s.meter.sends("a", 1)
		time.Sleep(2 * time.Minute)
		s.stop(t)
		keeps := map[usage.Granularity]time.Duration{usage.Minute: 2 * time.Hour, usage.Hour: 14 * 24 * time.Hour, usage.Day: 400 * 24 * time.Hour}
		for _, g := range []usage.Granularity{usage.Minute, usage.Hour, usage.Day} {
			time.Sleep(time.Until(begin.Add(keeps[g])))
			if rows := read(t, store, "a", g, begin, time.Now()); len(rows) != 1 {
				t.Errorf("%s after %v: %v", g, keeps[g], texts(rows))
			}
			time.Sleep(5 * time.Minute)
			e := store.Node()
			left, _, err := e.List(context.Background(), hub.Key{"usage", "a", string(g)}, nil, 10)
			if err != nil || len(left) != 0 {
				t.Errorf("%s after more: %v, %v", g, left, err)
			}
			_ = e.Close(context.Background())
		}
	})
}

// TestIdleIsNotWritten: an app that did something once is not written for ever.
func TestIdleIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, mem.NewStore(mem.Config{}))
		s.meter.sends("a", 1)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		before := s.rec.Stats().Written
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if now := s.rec.Stats().Written; before != 3 || now != 3 {
			t.Errorf("%d buckets were written, and then %d", before, now-before)
		}
	})
}

// TestCrash loses no more than what was not a whole minute.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		store := mem.NewStore(mem.Config{})
		s := start(t, store)
		time.Sleep(time.Second) // not at the moment that a minute ends
		for range 5 {
			s.meter.sends("a", 1)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		s.meter.sends("a", 100) // the minute that is lost
		time.Sleep(58 * time.Second)
		s.crash()
		again := start(t, store)
		again.meter.sends("a", 7)
		time.Sleep(10 * time.Second)
		again.stop(t)
		expect(t, "hour", read(t, store, "a", usage.Hour, begin, time.Now()),
			"01 00:00 in=12 out=24 bytes=120/360 calls=12 failures=6 peak=0")
	})
}

// A balky engine refuses to write while it is told to.
type balky struct {
	hub.Records
	balks atomic.Bool
}

func (b *balky) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	if b.balks.Load() {
		return 0, earshot.Errorf(earshot.Unavailable, "not now")
	}
	return b.Records.Put(ctx, key, data, revision, ttl)
}

// TestEngineAway: what could not be written is written later, each minute of it.
func TestEngineAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		store := mem.NewStore(mem.Config{})
		e := store.Node()
		b := &balky{Records: e}
		m := &meter{}
		rec := usage.NewRecorder(m, b, slog.New(slog.DiscardHandler))
		rec.Start()
		b.balks.Store(true)
		time.Sleep(time.Second) // not at the moment that a minute ends
		for i := range 5 {
			m.sends("a", uint64(i+1))
			m.sends("b", 1)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		if s := rec.Stats(); s.Failed == 0 || s.Written != 0 || s.Waiting != 6 {
			t.Errorf("%+v", s)
		}
		b.balks.Store(false)
		time.Sleep(time.Minute)
		m.sends("b", 1) // no minute ends without
		time.Sleep(time.Minute)
		synctest.Wait()
		rows := read(t, store, "a", usage.Minute, begin, time.Now())
		if len(rows) != 5 || rows[4].MessagesIn != 5 || usage.Total(rows).MessagesIn != 15 {
			t.Errorf("%q", texts(rows))
		}
		if s := rec.Stats(); s.Waiting != 0 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
		b.balks.Store(true)
		if err := rec.Close(context.Background()); err != nil {
			t.Error("nothing was left to write:", err)
		}
		_ = e.Close(context.Background())
	})
}

// TestCloseSaysSo: what could not be written at the end is no secret.
func TestCloseSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mem.NewStore(mem.Config{}).Node()
		b := &balky{Records: e}
		b.balks.Store(true)
		m := &meter{}
		rec := usage.NewRecorder(m, b, slog.New(slog.DiscardHandler))
		rec.Start()
		m.sends("a", 1)
		if err := rec.Close(context.Background()); earshot.CodeOf(err) != earshot.Unavailable || err == nil {
			t.Errorf("%v", err)
		}
		_ = e.Close(context.Background())
	})
}

// TestReadRefuses times in the wrong order.
func TestReadRefuses(t *testing.T) {
	e := mem.NewStore(mem.Config{}).Node()
	defer func() { _ = e.Close(context.Background()) }()
	_, err := usage.NewStore(e).Read(context.Background(), "a", 0, usage.Hour, time.Now(), time.Now().Add(-time.Second))
	var why *earshot.Error
	if !errors.As(err, &why) || why.Code != earshot.Invalid {
		t.Error(err)
	}
}

// rounds is how often a test that draws lots is to do so: EARSHOT_SOAK says it.
func rounds(t *testing.T) int {
	text := os.Getenv("EARSHOT_SOAK")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("EARSHOT_SOAK=%q", text)
	}
	return n
}

// TestMergeOverRestarts runs some servers that start, stop and crash at random,
// and compares what is read with what they did.
func TestMergeOverRestarts(t *testing.T) {
	for seed := range uint64(4 * rounds(t)) {
		synctest.Test(t, func(t *testing.T) { restarts(t, seed) })
	}
}

// A life is what a server did between a start and its end.
type life struct {
	*server
	from, to time.Time
	peak     map[time.Time]int // by the hour
}

func restarts(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	store := mem.NewStore(mem.Config{})
	servers := 1 + random.IntN(3)
	running := make([]*life, servers)
	var lives []*life
	begin := time.Now()
	in, perHour := uint64(0), map[time.Time]uint64{}
	for range 120 {
		for i := range servers {
			l := running[i]
			if l == nil {
				if random.IntN(3) == 0 {
					l = &life{server: start(t, store), from: time.Now(), peak: map[time.Time]int{}}
					running[i], lives = l, append(lives, l)
				}
				continue
			}
			hour := usage.Hour.Start(time.Now())
			n := uint64(random.IntN(5))
			if n > 0 {
				l.meter.sends("a", n)
			}
			in += n
			perHour[hour] += n
			conns := random.IntN(20)
			l.meter.connects("a", conns)
			l.peak[hour] = max(l.peak[hour], conns)
		}
		time.Sleep(time.Duration(5+5*random.IntN(60)) * time.Second) // in step: whole samples
		synctest.Wait()
		for i, l := range running {
			switch {
			case l == nil:
			case random.IntN(15) == 0:
				l.stop(t)
				l.to, running[i] = time.Now(), nil
			case random.IntN(15) == 0 && time.Now().Second() == 0: // just written
				l.crash()
				l.to, running[i] = time.Now(), nil
			}
		}
	}
	for i, l := range running {
		if l != nil {
			l.stop(t)
			l.to, running[i] = time.Now(), nil
		}
	}
	rows := read(t, store, "a", usage.Hour, begin, time.Now().Add(time.Hour))
	if got := usage.Total(rows).MessagesIn; got != in {
		t.Errorf("seed %d: %d messages, want %d", seed, got, in)
	}
	for _, r := range rows {
		if want := perHour[r.Start]; r.MessagesIn != want {
			t.Errorf("seed %d: %d messages in the hour of %v, want %d", seed, r.MessagesIn, r.Start, want)
		}
	}
	days := read(t, store, "a", usage.Day, begin, time.Now().Add(time.Hour))
	if got := usage.Total(days); got.Counts != usage.Total(rows).Counts {
		t.Errorf("seed %d: days and hours differ: %+v, %+v", seed, got, usage.Total(rows))
	}
	expectPeaks(t, seed, rows, lives)
}

// expectPeaks: a peak is no less than that of any life, and no more than those add
// up to that were at the same time; they may be as high as they were shortly
// before the hour.
func expectPeaks(t *testing.T, seed uint64, rows []usage.Row, lives []*life) {
	for _, r := range rows {
		least, most := 0, 0
		for _, l := range lives {
			least = max(least, l.peak[r.Start])
			together := 0
			for _, o := range lives {
				if o == l || o.from.Before(l.to) && l.from.Before(o.to) {
					together += max(o.peak[r.Start], o.peak[r.Start.Add(-time.Hour)])
				}
			}
			most = max(most, together)
		}
		if r.PeakConnections < least || r.PeakConnections > most {
			t.Errorf("seed %d: a peak of %d in the hour of %v, want %d to %d", seed, r.PeakConnections, r.Start, least, most)
		}
	}
}

// TestMergeAnyOrder: buckets make one row in whatever order they come.
func TestMergeAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 2))
		var buckets []usage.Bucket
		var sum uint64
		for range random.IntN(12) {
			from := random.Int64N(100)
			b := usage.Bucket{Peak: random.IntN(9), From: from, To: from + random.Int64N(30)}
			b.Counts.MessagesOut = random.Uint64N(1000)
			sum += b.Counts.MessagesOut
			buckets = append(buckets, b)
		}
		row := usage.Merge(time.Time{}, buckets)
		if want := slowPeak(buckets); row.PeakConnections != want || row.MessagesOut != sum {
			t.Fatalf("seed %d: %+v of %+v, want a peak of %d and %d messages", seed, row, buckets, want, sum)
		}
		random.Shuffle(len(buckets), func(i, j int) { buckets[i], buckets[j] = buckets[j], buckets[i] })
		if again := usage.Merge(time.Time{}, buckets); again != row {
			t.Fatalf("seed %d: %+v, and shuffled %+v", seed, row, again)
		}
	}
}

// slowPeak looks at every moment.
func slowPeak(buckets []usage.Bucket) (most int) {
	for at := range int64(140) {
		sum := 0
		for _, b := range buckets {
			if b.From <= at && at < max(b.To, b.From+1) {
				sum += b.Peak
			}
		}
		most = max(most, sum)
	}
	return most
}

// TestPeakOfRestarts: one server that starts three times has not three times the
// connections; two that run at once have both's.
func TestPeakOfRestarts(t *testing.T) {
	one := []usage.Bucket{{Peak: 100, From: 0, To: 10}, {Peak: 90, From: 10, To: 20}, {Peak: 110, From: 20, To: 30}}
	if got := usage.Merge(time.Time{}, one).PeakConnections; got != 110 {
		t.Errorf("restarts: %d", got)
	}
	two := append(slices.Clone(one), usage.Bucket{Peak: 5, From: 15, To: 25})
	if got := usage.Merge(time.Time{}, two).PeakConnections; got != 115 {
		t.Errorf("two at once: %d", got)
	}
}

// TestGranularity reads what it writes.
func TestGranularity(t *testing.T) {
	for text, want := range map[string]usage.Granularity{"": usage.Hour, "minute": usage.Minute, "hour": usage.Hour, "day": usage.Day} {
		if g, err := usage.ParseGranularity(text); g != want || err != nil {
			t.Errorf("%q: %v, %v", text, g, err)
		}
	}
	for _, text := range []string{"Minute", "week", "1"} {
		if _, err := usage.ParseGranularity(text); earshot.CodeOf(err) != earshot.Invalid || err == nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestFew tells some apart, for ever, and adds up the others.
func TestFew(t *testing.T) {
	f := usage.NewFew(2)
	uses := func(slugs ...string) (all []hub.AppUse) {
		for i, s := range slugs {
			all = append(all, hub.AppUse{App: s, MessagesIn: uint64(i + 1), Connections: 1, Peak: 9})
		}
		return all
	}
	for _, c := range []struct {
		in   []hub.AppUse
		want string
	}{
		{uses("a"), "a:1:1"},
		{uses("a", "b"), "a:1:1 b:2:1"},
		{uses("c", "d", "a"), "a:3:1 _other:3:2"},
		{uses("b", "c"), "b:1:1 _other:2:1"},
		{nil, ""},
	} {
		got := ""
		for i, u := range f.Of(c.in) {
			if i > 0 {
				got += " "
			}
			got += fmt.Sprintf("%s:%d:%d", u.App, u.MessagesIn, u.Connections)
		}
		if got != c.want {
			t.Errorf("%v: %s, want %s", c.in, got, c.want)
		}
	}
}

// BenchmarkSample looks at the counts of ten thousand apps, as every five seconds.
func BenchmarkSample(b *testing.B) {
	e := mem.NewStore(mem.Config{}).Node()
	h := hub.New(hub.Config{}, e, slog.New(slog.DiscardHandler))
	for i := range 10_000 {
		h.CountCall(&earshot.App{Slug: fmt.Sprint("app-", i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := len(h.AppUses(true)); n != 10_000 {
			b.Fatal(n)
		}
	}
}

// TestSlugChangesHands: what an app has used is its own, whoever has its slug later,
// and goes with it to another slug.
func TestSlugChangesHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		store := mem.NewStore(mem.Config{})
		s := start(t, store)
		is := func(app string, id int64) { s.meter.use(app, func(u *hub.AppUse) { u.ID = id }) }
		is("shop", 1)
		s.meter.sends("shop", 3)
		time.Sleep(10 * time.Second)
		is("shop", 0) // it is renamed, and the slug is free for a moment
		is("moved", 1)
		time.Sleep(10 * time.Second)
		is("shop", 2)
		time.Sleep(10 * time.Second)
		s.meter.sends("shop", 1)
		s.meter.sends("moved", 1)
		time.Sleep(2 * time.Minute)
		for _, g := range []usage.Granularity{usage.Minute, usage.Hour, usage.Day} {
			first, second := usage.Total(readOf(t, store, "moved", 1, g, begin, time.Now())), usage.Total(readOf(t, store, "shop", 2, g, begin, time.Now()))
			if first.MessagesIn != 4 || second.MessagesIn != 1 || second.AuthFailures != 1 {
				t.Errorf("%s: the first has %+v, the second %+v", g, first, second)
			}
		}
		if in, _ := s.rec.Now("shop"); in.Fifteen >= 0.001 { // the one message of two minutes ago
			t.Errorf("the second's rates are %v", in)
		}
	})
}

// TestPages: an app that is used all the time has few records, and each of its
// hours is told.
func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(25 * 24 * time.Hour) // a month ends soon
		begin := time.Now()
		store := mem.NewStore(mem.Config{})
		s := start(t, store)
		time.Sleep(time.Second) // not at the moment that an hour ends
		const hours = 18 * 24
		for range hours {
			s.meter.sends("a", 1)
			time.Sleep(time.Hour)
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		e := store.Node()
		defer func() { _ = e.Close(context.Background()) }()
		kept := map[string]int{}
		all, _, err := e.List(context.Background(), hub.Key{"usage"}, nil, 10_000)
		for _, r := range all {
			kept[r.Key[2]]++
		}
		// Minutes of two hours, hours of two weeks, days of two months.
		if err != nil || kept["minute"] > 4 || kept["hour"] > 16 || kept["day"] != 2 {
			t.Errorf("%v, %v", kept, err)
		}
		days := read(t, store, "a", usage.Day, begin, time.Now())
		if len(days) != hours/24 || usage.Total(days).MessagesIn != hours {
			t.Errorf("%d days with %d messages", len(days), usage.Total(days).MessagesIn)
		}
		for i, d := range days {
			if d.MessagesIn != 24 || !d.Start.Equal(begin.Add(time.Duration(i)*24*time.Hour)) {
				t.Errorf("day %d is %v with %d", i, d.Start, d.MessagesIn)
			}
		}
		if got := read(t, store, "a", usage.Hour, time.Now().Add(-30*time.Hour), time.Now().Add(-10*time.Hour)); len(got) != 21 {
			t.Errorf("%d hours: %q", len(got), texts(got))
		}
	})
}
