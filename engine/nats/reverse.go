package nats

import (
	"context"
	"slices"

	"github.com/earshot-io/earshot"
)

// The log reads forward only. To show the newest few of many, a read looks for
// the sequence that has about as many messages of the channel behind it: the
// answer to a direct read says how many there are. That is a search of about
// log2(messages) small reads, by interpolation usually three or four, and then
// one read forward.

// A place is a message of the channel, and how many there are from it on.
type place struct {
	seq   uint64
	count uint64
}

// locate returns the first message from a sequence on; ok is false for none.
func (g *reading) locate(ctx context.Context, from uint64) (p place, ok bool, err error) {
	ms, _, err := g.l.direct(ctx, g.subject, from, 1)
	if err != nil || len(ms) == 0 {
		return place{}, false, err
	}
	return place{ms[0].seq, ms[0].pending + 1}, true, nil
}

// backward fills the page from the newest.
func (g *reading) backward(ctx context.Context) error {
	for {
		if err := g.tryBackward(ctx); err != nil {
			return err
		}
		behind, err := g.behind(ctx)
		if err != nil || !behind {
			return err
		}
		g.page.Messages, g.page.More, g.size = nil, false, 0
	}
}

func (g *reading) tryBackward(ctx context.Context) error {
	first, ok, err := g.locate(ctx, g.after+1)
	if err != nil || !ok {
		return err
	}
	end := g.before // exclusive
	newer := uint64(0)
	if g.before != maxSeq {
		p, ok, err := g.locate(ctx, g.before)
		if err != nil {
			return err
		}
		if ok {
			newer = p.count
		}
	}
	want := uint64(g.limit) + 1
	for {
		from, err := g.start(ctx, first, place{end, newer}, want)
		if err != nil {
			return err
		}
		ms, err := g.between(ctx, from, end)
		if err != nil {
			return err
		}
		if g.takeBackward(ms) || from <= first.seq {
			return nil
		}
		if len(ms) > 0 {
			newer += uint64(len(ms))
		}
		end, want = from, 2*want
	}
}

const maxSeq = 1<<64 - 1

// start returns a sequence, from first on, between which and end there are at
// least want messages, and not many more, or all.
func (g *reading) start(ctx context.Context, first, end place, want uint64) (uint64, error) {
	lo, hi := first, end
	if hi.seq == maxSeq {
		hi.seq = max(g.e.newest.Load(), first.seq) + 1
	}
	// Lo has always enough behind it.
	for range 64 {
		have := lo.count - min(lo.count, end.count)
		if have <= 2*want+16 || lo.seq+1 >= hi.seq {
			return lo.seq, nil
		}
		p, ok, err := g.locate(ctx, guess(lo, hi, end.count+want+want/2))
		if err != nil {
			return 0, err
		}
		switch {
		case ok && p.seq < hi.seq && p.count >= end.count+want && p.seq > lo.seq:
			lo = p
		case ok && p.seq < hi.seq && p.seq > lo.seq:
			hi = p
		default:
			// Nothing lies between the guess and hi.
			next := place{guess(lo, hi, end.count+want+want/2), hi.count}
			if next.seq >= hi.seq {
				return lo.seq, nil
			}
			hi = next
		}
	}
	return lo.seq, nil
}

// guess is where, between lo and hi, the count should be the target.
func guess(lo, hi place, target uint64) uint64 {
	width := hi.seq - lo.seq
	span := float64(lo.count) - float64(hi.count)
	part := 0.5
	if span > 0 {
		part = (float64(lo.count) - float64(target)) / span
	}
	part = min(max(part, 0.05), 0.95)
	return lo.seq + max(uint64(part*float64(width)), 1)
}

// between reads all messages from one sequence on and before another.
func (g *reading) between(ctx context.Context, from, end uint64) (all []stored, err error) {
	for {
		ms, more, err := g.l.direct(ctx, g.subject, from, batchMost)
		if err != nil {
			return nil, err
		}
		for _, s := range ms {
			if s.seq >= end {
				return all, nil
			}
			all = append(all, s)
			from = s.seq + 1
		}
		if !more {
			return all, nil
		}
	}
}

// takeBackward puts messages into the page, the newest first; it reports that
// the page is done.
func (g *reading) takeBackward(ms []stored) (done bool) {
	for _, s := range slices.Backward(ms) {
		g.newest = max(g.newest, s.seq)
		if s.pending >= g.depth {
			g.lost = true
			return true
		}
		var m *earshot.Message
		if m = g.shown(s); m == nil {
			continue
		}
		if g.full(m) {
			g.page.More = true
			return true
		}
		g.add(m)
	}
	return false
}
