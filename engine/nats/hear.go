package nats

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/earshot-io/earshot"
)

var errSubject = errors.New("not a channel's subject")

// contextFor is context.WithTimeout; where there is no time it still is one.
func contextFor(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, max(d, time.Millisecond))
}

// heard are the buckets that this node hears, and the probes on their way.
type heard struct {
	lastProbe atomic.Uint64

	mu      sync.Mutex
	buckets map[int]*heardBucket
	probes  map[string]chan struct{}
}

// A heardBucket is heard while refs says so.
type heardBucket struct {
	refs int
	subs []*natsgo.Subscription
	// proven is closed when a probe has come back; err is set before, if none
	// did, else the probe's sequence.
	proven chan struct{}
	from   uint64
	err    error
}

func (h *heard) init() {
	h.buckets = map[int]*heardBucket{}
	h.probes = map[string]chan struct{}{}
}

// back takes a probe that has come back.
func (h *heard) back(data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.probes[string(data)]; c != nil {
		delete(h.probes, string(data))
		close(c)
	}
}

// Hear makes messages of the channel reach this node; see hub.Bus. With one
// bucket every node hears everything, and there is nothing to wait for.
func (e *Engine) Hear(ctx context.Context, app, channel string) (from uint64, release func(), err error) {
	if err := e.refusal(); err != nil {
		return 0, nil, err
	}
	if e.config.Buckets == 1 {
		return 0, func() {}, nil
	}
	numbers := []int{bucket(app, channel, e.config.Buckets)}
	if channel == "" {
		numbers = numbers[:0]
		for n := range e.config.Buckets {
			numbers = append(numbers, n)
		}
	}
	for i, n := range numbers {
		proven, err := e.hear(ctx, n)
		if err != nil {
			for _, n := range numbers[:i] {
				e.unhear(n)
			}
			return 0, nil, unavailable(err)
		}
		from = max(from, proven)
	}
	return from, sync.OnceFunc(func() {
		for _, n := range numbers {
			e.unhear(n)
		}
	}), nil
}

// hear counts one who hears the bucket; the first one subscribes and probes. It
// returns the probe's sequence.
func (e *Engine) hear(ctx context.Context, n int) (from uint64, err error) {
	l, err := e.linked()
	if err != nil {
		return 0, err
	}
	h := &e.heard
	h.mu.Lock()
	b := h.buckets[n]
	if b != nil {
		b.refs++
		h.mu.Unlock()
		return e.awaitProven(ctx, n, b)
	}
	b = &heardBucket{refs: 1, proven: make(chan struct{})}
	h.buckets[n] = b
	h.mu.Unlock()
	b.from, b.err = e.openBucket(ctx, l, n, b)
	close(b.proven)
	if b.err != nil {
		e.unhear(n)
	}
	return b.from, b.err
}

// awaitProven waits for who came first. If that failed, the count is given back.
func (e *Engine) awaitProven(ctx context.Context, n int, b *heardBucket) (from uint64, err error) {
	select {
	case <-b.proven:
		from, err = b.from, b.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		e.unhear(n)
	}
	return from, err
}

// unhear counts one less; the last one unsubscribes.
func (e *Engine) unhear(n int) {
	h := &e.heard
	h.mu.Lock()
	b := h.buckets[n]
	var subs []*natsgo.Subscription
	if b != nil {
		if b.refs--; b.refs == 0 {
			delete(h.buckets, n)
			subs = b.subs
		}
	}
	h.mu.Unlock()
	for _, s := range subs {
		_ = s.Unsubscribe() // fails only when the connection is gone
	}
}

// openBucket subscribes to the bucket and proves that it is heard, from a
// sequence on.
func (e *Engine) openBucket(ctx context.Context, l *link, n int, b *heardBucket) (from uint64, err error) {
	subs, err := e.subscribe(l, n)
	e.heard.mu.Lock()
	b.subs = append(b.subs, subs...)
	e.heard.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return e.probe(ctx, l, n)
}

func (e *Engine) subscribe(l *link, n int) (subs []*natsgo.Subscription, err error) {
	s, err := l.conn.Subscribe(inBucket(spaceDelivered, n, e.config.Buckets), e.onStored)
	if err != nil {
		return nil, err
	}
	subs = append(subs, s)
	if !e.config.embedded() {
		if s, err = l.conn.Subscribe(inBucket(spaceLive, n, e.config.Buckets), e.onLive); err != nil {
			return subs, err
		}
		subs = append(subs, s)
	}
	for _, s := range subs {
		if err := s.SetPendingLimits(waitingMessages, waitingBytes); err != nil {
			return subs, err
		}
	}
	return subs, nil
}

// hearAgain makes a new link hear what the old one did, and shows that the log
// can be written and heard.
func (e *Engine) hearAgain(ctx context.Context, l *link) error {
	if e.config.Buckets == 1 {
		if _, err := e.subscribe(l, 0); err != nil {
			return err
		}
		_, err := e.probe(ctx, l, 0)
		return err
	}
	for _, n := range e.heard.numbers() {
		subs, err := e.subscribe(l, n)
		if err != nil {
			return err
		}
		e.heard.mu.Lock()
		if b := e.heard.buckets[n]; b != nil {
			b.subs = subs
		}
		e.heard.mu.Unlock()
		if _, err := e.probe(ctx, l, n); err != nil {
			return err
		}
	}
	_, err := l.sendProbe(ctx, 0, []byte(e.node))
	return err
}

func (h *heard) numbers() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []int
	for n := range h.buckets {
		all = append(all, n)
	}
	return all
}

// probeEvery is when a probe that did not come back is followed by another.
const probeEvery = 250 * time.Millisecond

// probe returns when a message of the bucket has gone through the log and come
// back: what is stored behind it does too. It returns the probe's sequence.
func (e *Engine) probe(ctx context.Context, l *link, n int) (from uint64, err error) {
	back := make(chan struct{})
	name := e.node + "/" + strconv.FormatUint(e.heard.lastProbe.Add(1), 36)
	e.heard.mu.Lock()
	e.heard.probes[name] = back
	e.heard.mu.Unlock()
	defer func() {
		e.heard.mu.Lock()
		delete(e.heard.probes, name)
		e.heard.mu.Unlock()
	}()
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		e.stats.probes.Add(1)
		seq, err := l.sendProbe(ctx, n, []byte(name))
		from = max(from, seq)
		select {
		case <-back:
			return from, nil
		case <-ticker.C:
		case <-ctx.Done():
			if err == nil {
				err = context.Cause(ctx)
			}
			return 0, earshotError("a message did not come back through the log", err)
		}
	}
}

func earshotError(text string, err error) error {
	return &earshot.Error{Code: earshot.Unavailable, Text: text, Err: err, RetryAfter: time.Second}
}

// sendProbe stores a probe, which the log keeps for a second, and returns its
// sequence.
func (l *link) sendProbe(ctx context.Context, n int, data []byte) (seq uint64, err error) {
	ctx, cancel := contextFor(ctx, l.engine.config.Deadline)
	defer cancel()
	m := natsgo.NewMsg(probeSubject(spaceStored, n, l.engine.node))
	m.Header[headerTTL] = []string{seconds(minTTL)}
	m.Data = data
	ack, err := l.js.PublishMsg(ctx, m)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}
