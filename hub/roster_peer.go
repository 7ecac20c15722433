package hub

import (
	"bytes"
	"math"
	"sync"
	"time"
)

const (
	// maxAhead is how many changes are kept while the ones before them are asked
	// for; over it they are dropped, and asked for again.
	maxAhead = 10_000
	// askEvery is the least time between two requests of a snapshot.
	askEvery = time.Second
)

// A peer is another node that lives, with its part of the roster.
type peer struct {
	name   string
	roster *roster

	// The nodes' lock guards what follows.

	heard time.Time // when it last said something
	over  bool      // it is being taken out

	mu      sync.Mutex
	dead    bool
	back    bool // it was taken for dead, and this node recorded what that ended
	seq     uint64
	digest  uint64
	records map[recordKey]record

	lost  bool // something is missing, and was asked for
	asked time.Time
	// number is that of the newest request, and parts are what has come of it.
	number     uint64
	parts      map[int][]change
	ahead      []delta // what came meanwhile
	aheadCount int
}

// heardBeat takes a beat; it returns the number of a request for a snapshot, 0
// for none.
func (p *peer) heardBeat(b *beat) (ask uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.dead:
		return 0
	case p.lost:
		return p.askAgain()
	case b.Seq > p.seq || b.Seq == p.seq && b.Digest != p.digest:
		return p.lose()
	case b.Seq == p.seq:
		p.back = false // all that it had when it came back is there
	}
	return 0
}

// heardDelta takes changes, or keeps them until those before them are there.
func (p *peer) heardDelta(d *delta) (ask uint64) {
	var b batch
	defer b.settle(p.roster.hub)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.dead:
		return 0
	case p.lost:
		p.keep(d)
		return p.askAgain()
	case p.take(d, &b):
		return 0
	}
	ask = p.lose()
	p.keep(d)
	return ask
}

// lose begins to ask for all of the peer's part.
func (p *peer) lose() uint64 {
	p.lost = true
	p.ahead, p.aheadCount = nil, 0
	p.number++
	p.asked = time.Now()
	p.parts = map[int][]change{}
	return p.number
}

// askAgain asks once more, if the answer is overdue.
func (p *peer) askAgain() uint64 {
	if time.Since(p.asked) < askEvery {
		return 0
	}
	p.number++
	p.asked = time.Now()
	p.parts = map[int][]change{}
	return p.number
}

func (p *peer) keep(d *delta) {
	if p.aheadCount += len(d.Changes); p.aheadCount > maxAhead {
		p.ahead, p.aheadCount = nil, 0
		return
	}
	p.ahead = append(p.ahead, *d)
}

// take applies a delta; it reports false if some before it are missing.
func (p *peer) take(d *delta, b *batch) bool {
	end := d.After + uint64(len(d.Changes))
	if d.After > p.seq {
		return false
	}
	if end <= p.seq {
		return true // known already
	}
	for i := range d.Changes[p.seq-d.After:] {
		p.apply(&d.Changes[p.seq-d.After+uint64(i)], b)
	}
	p.seq = end
	return true
}

// apply takes one change.
func (p *peer) apply(c *change, b *batch) {
	k := c.key()
	if old, ok := p.records[k]; ok {
		p.digest ^= digest(k, &old)
	}
	rec := c.record()
	if rec == nil {
		delete(p.records, k)
	} else {
		p.records[k] = *rec
		p.digest ^= digest(k, rec)
		p.roster.saw(rec.since)
	}
	if c.Newest != math.MaxInt64 {
		p.roster.saw(c.Newest)
	}
	p.roster.replicate(p.name, k, rec, c.Newest, p.back, b)
}

// heardSnapshot takes a part of what was asked for; with the last one, what is
// known of the peer becomes that.
func (p *peer) heardSnapshot(s *snapshot) (ask uint64) {
	var b batch
	defer b.settle(p.roster.hub)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead || !p.lost || s.Number != p.number {
		return 0
	}
	p.parts[s.Part] = s.Changes
	if len(p.parts) < s.Parts {
		return 0
	}
	p.replace(s.Seq, &b)
	for i := range p.ahead {
		if !p.take(&p.ahead[i], &b) {
			return p.lose()
		}
	}
	p.ahead, p.aheadCount = nil, 0
	return 0
}

// replace makes the peer's part what the snapshot says.
func (p *peer) replace(seq uint64, b *batch) {
	there := make(map[recordKey]bool, len(p.records))
	for _, part := range p.parts {
		for i := range part {
			there[part[i].key()] = true
		}
	}
	for k := range p.records {
		if !there[k] {
			gone := gone(k)
			p.apply(&gone, b)
		}
	}
	for _, part := range p.parts {
		for i := range part {
			c := &part[i]
			old, ok := p.records[c.key()]
			if !ok || old.since != c.Since || old.newest != c.Newest || !bytes.Equal(old.meta, c.Meta) {
				p.apply(c, b)
			}
		}
	}
	p.seq, p.lost, p.parts, p.back = seq, false, nil, false
}

// gone is the end of a record of which nobody knows when it was.
func gone(k recordKey) change {
	c := changeOf(k)
	c.Newest, c.Gone = math.MaxInt64, true
	return c
}

// The pace at which the members of a node that is gone are taken out: so much of
// notices at once, and then a rest for those who are to take them; but not more
// rests than may last until it has to be done.
const (
	endBytes = 256 << 10
	endRest  = 25 * time.Millisecond
	endRests = 40
)

// end takes out all that the peer told, which has stopped or is taken for dead;
// orphan says that this node records it.
func (p *peer) end(orphan bool) {
	p.mu.Lock()
	p.dead = true
	records := p.records
	p.records = nil
	p.mu.Unlock()
	h := p.roster.hub
	var b batch
	bytes, rests := 0, 0
	for k := range records {
		bytes += p.roster.replicate(p.name, k, nil, math.MaxInt64, orphan, &b)
		if bytes > endBytes && rests < endRests {
			b.settle(h)
			rest(h.ctx, endRest)
			bytes = 0
			rests++
		}
	}
	b.settle(h)
}
