package nats

import (
	"context"
	"math"
	"sync"
	"time"
)

// A removal is the record of a channel: what is up to Seq may have been removed
// from the log other than by its own time. It is written before that happens.
type removal struct {
	Seq uint64 `cbor:"1,keyasint"`
}

// exact judges whether nothing after the position was lost. It never says so
// wrongly; it may say no where nothing was lost.
func (e *Engine) exact(ctx context.Context, l *link, app, channel string, g *reading) (bool, error) {
	p := g.r.After
	switch {
	case !p.IsZero() && uint32(p.Epoch) != e.epoch.Load():
		return false, nil
	case g.lost || g.future:
		return false, nil
	case g.exists:
		// The oldest are removed first.
		return true, nil
	}
	newest := e.newest.Load()
	// The cap removes a message only when so many newer ones are on its channel.
	capped := newest >= p.Seq && newest-p.Seq >= uint64(e.config.Cap)
	if capped && (e.config.Buckets > 1 || !e.ledger.await(ctx, newest)) {
		return false, nil
	}
	r, revision, err := e.removed(ctx, l, app, channel)
	if err != nil {
		return false, err
	}
	return revision == 0 || r.Seq < p.Seq, nil
}

func (e *Engine) removed(ctx context.Context, l *link, app, channel string) (r removal, revision uint64, err error) {
	data, revision, err := l.get(ctx, removedKey(app, channel))
	if err != nil || revision == 0 {
		return removal{}, 0, err
	}
	return r, revision, e.codec.decode(data, &r)
}

// recordRemoval writes, on disk, that what is up to seq may be removed.
func (e *Engine) recordRemoval(ctx context.Context, l *link, app, channel string, seq uint64) error {
	for {
		r, revision, err := e.removed(ctx, l, app, channel)
		if err != nil {
			return err
		}
		if revision != 0 && r.Seq >= seq {
			return nil
		}
		data, err := e.codec.encode(&removal{seq})
		if err != nil {
			return err
		}
		err = l.put(ctx, removedKey(app, channel), data, revision)
		switch {
		case err == nil:
			return e.sync(ctx)
		case !isConflict(err):
			return err
		}
	}
}

// A ledger notices which channels come near the cap, where the server removes
// the oldest message for each new one without telling. It counts what arrives
// of each channel, and records a removal before one can happen: when a channel
// is half full, and again with each further quarter.
type ledger struct {
	half, quarter uint64
	off           bool          // this node does not hear everything
	more          chan struct{} // something is in queue

	mu     sync.Mutex
	moved  chan struct{} // closed and replaced when done has risen
	total  uint64        // bound of what the stream holds
	counts map[channelName]*tally
	queue  []ledgerItem // what has to be looked at
	seen   uint64       // newest sequence counted
}

// A tally bounds how many messages a channel has.
type tally struct {
	n, limit uint64
	queued   bool
}

type ledgerItem struct {
	name channelName
	seq  uint64
}

// maxTallies is how many channels are counted; over it, all are looked at anew.
const maxTallies = 200_000

func (d *ledger) init(c Config) {
	d.half, d.quarter = max(uint64(c.Cap)/2, 1), max(uint64(c.Cap)/4, 1)
	d.off = c.Buckets > 1
	d.more, d.moved = make(chan struct{}, 1), make(chan struct{})
	d.counts = map[channelName]*tally{}
}

// begin is told how many messages the stream holds.
func (d *ledger) begin(total uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total = max(d.total, total)
	clear(d.counts)
}

// pass counts nothing.
func (d *ledger) pass(seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rise(seq)
}

// rise moves what is counted; the ledger is locked.
func (d *ledger) rise(seq uint64) {
	if seq > d.seen {
		d.seen = seq
		if len(d.queue) == 0 {
			d.tell()
		}
	}
}

func (d *ledger) tell() {
	close(d.moved)
	d.moved = make(chan struct{})
}

// count takes a message that arrived.
func (d *ledger) count(app, channel string, seq uint64) {
	if d.off {
		return
	}
	name := channelName{app, channel}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total++
	t := d.counts[name]
	if t == nil {
		if len(d.counts) >= maxTallies {
			clear(d.counts)
		}
		// How many there are is known only if the whole stream has few.
		t = &tally{n: math.MaxUint64 / 2, limit: d.half}
		if d.total < d.half {
			t.n = d.total
		}
		d.counts[name] = t
	}
	if t.n++; t.n >= t.limit && !t.queued {
		t.queued = true
		d.queue = append(d.queue, ledgerItem{name, seq})
		select {
		case d.more <- struct{}{}:
		default:
		}
	}
	d.rise(seq)
}

// await returns when everything up to seq is recorded; false if that does not
// happen in a second.
func (d *ledger) await(ctx context.Context, seq uint64) bool {
	ctx, cancel := contextFor(ctx, time.Second)
	defer cancel()
	for {
		d.mu.Lock()
		done, moved := d.seen >= seq && len(d.queue) == 0, d.moved
		d.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
}

// runLedger looks at the channels that may be near the cap.
func (e *Engine) runLedger() {
	d := &e.ledger
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-d.more:
		}
		for item, ok := d.next(); ok && e.ctx.Err() == nil; item, ok = d.next() {
			if err := e.account(item); err != nil {
				e.log.Warn("counting a channel", "err", err)
				e.pause(200 * time.Millisecond)
			}
		}
	}
}

func (d *ledger) next() (ledgerItem, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		return ledgerItem{}, false
	}
	return d.queue[0], true
}

// account counts one channel, and records that the cap is near.
func (e *Engine) account(item ledgerItem) error {
	l, err := e.linked()
	if err != nil {
		return err
	}
	ctx, cancel := contextFor(e.ctx, e.config.Deadline)
	defer cancel()
	d := &e.ledger
	d.mu.Lock()
	upto := d.seen
	d.mu.Unlock()
	g := reading{e: e, l: l, subject: subject(spaceStored, item.name.app, item.name.channel, e.config.Buckets)}
	p, _, err := g.locate(ctx, 1)
	if err != nil {
		return err
	}
	full := p.count >= d.half
	if full {
		if err := e.recordRemoval(ctx, l, item.name.app, item.name.channel, upto); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = d.queue[1:]
	t := d.counts[item.name]
	if t == nil {
		t = &tally{}
		d.counts[item.name] = t
	}
	t.n, t.limit, t.queued = p.count, d.half, false
	if full {
		t.n, t.limit = 0, d.quarter
	}
	if len(d.queue) == 0 {
		d.tell()
	}
	return nil
}
