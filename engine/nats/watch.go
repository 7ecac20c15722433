package nats

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/earshot-io/earshot/hub"
)

const (
	// watchBeat is how often the stream tells a watch that it lives, and
	// watchDeaf when one that hears nothing begins anew.
	watchBeat = 2 * time.Second
	watchDeaf = 3 * watchBeat
	// watchAgain is when one that could not be begun anew tries again.
	watchAgain = 500 * time.Millisecond
	// watchBehind is how long a watch may be behind before it begins anew: what
	// marks a removed record is removed too, some time later.
	watchBehind = markerTTL / 2
)

var (
	errHole   = errors.New("changes are missing")
	errDeaf   = errors.New("the stream is not heard")
	errBehind = errors.New("the watch was behind for long")
	errTurned = errors.New("the connection is another one")
)

// turns tell those who wait that the link is another one, or was lost meanwhile.
type turns struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait returns what is closed at the next turn.
func (t *turns) wait() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next == nil {
		t.next = make(chan struct{})
	}
	return t.next
}

func (t *turns) turn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next != nil {
		close(t.next)
		t.next = nil
	}
}

// A watching is one Watch under way. It reads what there is from the leader's
// index, and then hears what is stored behind that from a consumer. Whatever goes
// wrong is mended by beginning anew: what was told before is known, and only what
// differs is told.
type watching struct {
	e       *Engine
	prefix  hub.Key
	changed func([]hub.Record)
	synced  func()

	created time.Time // of the stream that all this is about
	// known are the revisions of the records that were told, by subject, and upto
	// is the sequence up to which all was told.
	known map[string]uint64
	upto  uint64
	begun bool      // synced was called
	level time.Time // when nothing was left to be told
}

// Watch tells of changes; see hub.Records.
func (e *Engine) Watch(ctx context.Context, prefix hub.Key, changed func([]hub.Record), synced func()) error {
	if err := prefix.Check(); err != nil && len(prefix) > 0 {
		return err
	}
	w := &watching{e: e, prefix: prefix, changed: changed, synced: synced, known: map[string]uint64{}}
	for {
		turned := e.turns.wait()
		err := w.follow(ctx, turned)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case e.closed():
			return e.refusal()
		case !w.begun:
			return unavailable(err)
		case errors.Is(err, errTurned):
			continue
		}
		e.log.Debug("a watch begins anew", "prefix", prefix, "why", err)
		timer := time.NewTimer(watchAgain)
		select {
		case <-timer.C:
		case <-turned:
		case <-e.closing:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// closed reports whether Close has begun.
func (e *Engine) closed() bool {
	select {
	case <-e.closing:
		return true
	default:
		return false
	}
}

// follow tells what differs from what is known, and then what changes, until
// something goes wrong.
func (w *watching) follow(ctx context.Context, turned <-chan struct{}) error {
	l, err := w.e.linked()
	if err != nil {
		return err
	}
	w.level = time.Now()
	asked, cancel := contextFor(ctx, listTime)
	x, err := l.index(asked, w.prefix)
	cancel()
	if err != nil {
		return err
	}
	if !x.created.Equal(w.created) {
		// Revisions of another stream say nothing.
		w.created, w.upto = x.created, 0
		for s := range w.known {
			w.known[s] = 0
		}
	}
	f, err := l.feed(ctx, w.prefix, max(x.last, w.upto)+1)
	if err != nil {
		return err
	}
	defer f.close()
	if err := w.tellAll(ctx, l, x); err != nil {
		return err
	}
	w.upto = max(w.upto, x.last)
	if !w.begun {
		w.begun = true
		w.synced()
	}
	return w.hear(ctx, f, turned)
}

// tellAll tells what there is, and what there is no more.
func (w *watching) tellAll(ctx context.Context, l *link, x index) error {
	left := make(map[string]bool, len(w.known)) // what may be no more
	for s, revision := range w.known {
		left[s] = revision <= x.last // else it is newer than the index
	}
	err := l.fetch(ctx, x.subjects, x.last, func(fs []found) error {
		if err := w.e.settled(ctx, newestOf(fs)); err != nil {
			return err
		}
		var news []hub.Record
		for i := range fs {
			f := &fs[i]
			s := recordSubject(f.Key)
			if !f.gone() || f.seq > x.last {
				// What was removed behind the index is heard of in its turn.
				delete(left, s)
			}
			before, told := w.known[s]
			if f.gone() || f.seq <= before || !told && f.seq <= w.upto {
				continue
			}
			w.known[s] = f.seq
			news = append(news, f.Record)
		}
		w.tell(ctx, news)
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	var news []hub.Record
	for s, is := range left {
		if k, ok := recordKey(s); ok && is {
			delete(w.known, s)
			news = append(news, hub.Record{Key: k, Revision: x.last, Time: time.Now()})
		}
	}
	w.tell(ctx, news)
	return ctx.Err()
}

func newestOf(fs []found) (newest uint64) {
	for i := range fs {
		newest = max(newest, fs[i].seq)
	}
	return newest
}

// tell hands on what is on disk, as long as anybody wants it. What is known was
// changed before: there is no way back.
func (w *watching) tell(ctx context.Context, news []hub.Record) {
	if len(news) > 0 && ctx.Err() == nil {
		w.changed(news)
	}
}

// hear tells what the feed brings.
func (w *watching) hear(ctx context.Context, f *feed, turned <-chan struct{}) error {
	deaf := time.NewTimer(watchDeaf)
	defer deaf.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.e.closing:
			return w.e.refusal()
		case <-turned:
			return errTurned
		case <-deaf.C:
			return errDeaf
		case <-f.more:
		}
		b, err := f.take()
		if err != nil {
			return err
		}
		if err := w.hearBatch(ctx, b.ms); err != nil {
			return err
		}
		for _, reply := range b.flow {
			_ = f.l.conn.Publish(reply, nil) // without it the feed is deaf soon
		}
		if b.level {
			if time.Since(w.level) > watchBehind {
				return errBehind
			}
			w.level = time.Now()
		}
		deaf.Reset(watchDeaf)
	}
}

// hearBatch tells what is new of it, in order.
func (w *watching) hearBatch(ctx context.Context, ms []change) error {
	if len(ms) == 0 {
		return nil
	}
	newest := ms[len(ms)-1].seq
	if err := w.e.settled(ctx, newest); err != nil {
		return err
	}
	var news []hub.Record
	for i := range ms {
		m := &ms[i]
		before, told := w.known[m.subject]
		if m.seq <= w.upto || m.seq <= before {
			continue
		}
		if m.gone() {
			delete(w.known, m.subject)
		} else {
			w.known[m.subject] = m.seq
		}
		if !m.gone() || told {
			news = append(news, m.Record)
		}
	}
	w.upto = max(w.upto, newest)
	w.tell(ctx, news)
	return nil
}

// A feed is a consumer of the stream, which pushes what comes into a queue. What
// may be on its way is bounded by the server's flow control.
type feed struct {
	l    *link
	sub  *natsgo.Subscription
	name string
	more chan struct{} // something is in the queue

	mu    sync.Mutex
	queue feedBatch
	last  uint64 // number of the last message
	err   error
}

// A feedBatch is what came together.
type feedBatch struct {
	ms    []change
	flow  []string // where the server waits for an answer when ms was taken
	level bool     // there is nothing behind it
}

// A change is a message of a feed.
type change struct {
	found
	subject string
}

// feed begins to hear what is stored in a prefix from a sequence on.
func (l *link) feed(ctx context.Context, prefix hub.Key, from uint64) (*feed, error) {
	f := &feed{l: l, more: make(chan struct{}, 1)}
	inbox := l.conn.NewInbox()
	var err error
	if f.sub, err = l.conn.Subscribe(inbox, f.on); err != nil {
		return nil, err
	}
	if err := f.sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	subject := recordSubject(prefix)
	filters := []string{subject + ".>"}
	if len(prefix) > 0 {
		filters = append(filters, subject)
	}
	ctx, cancel := contextFor(ctx, readTime)
	defer cancel()
	c, err := l.js.CreatePushConsumer(ctx, recordStream, jetstream.ConsumerConfig{
		DeliverSubject: inbox, FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, MaxDeliver: 1, FlowControl: true, IdleHeartbeat: watchBeat,
		InactiveThreshold: 30 * time.Second, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		_ = f.sub.Unsubscribe() // fails only when the connection is gone
		return nil, err
	}
	f.name = c.CachedInfo().Name
	return f, nil
}

// close ends the feed. A consumer that cannot be told so ends by itself.
func (f *feed) close() {
	_ = f.sub.Unsubscribe()
	if !f.l.conn.IsConnected() {
		return
	}
	_ = f.l.conn.Publish("$JS.API.CONSUMER.DELETE."+recordStream+"."+f.name, nil)
}

// on takes what the server pushes.
func (f *feed) on(m *natsgo.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.push(m); err != nil && f.err == nil {
		f.err = err
	}
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func (f *feed) push(m *natsgo.Msg) error {
	if header(m, headerStatus) != "" {
		return f.control(m)
	}
	about, err := m.Metadata()
	if err != nil {
		return err
	}
	if about.Sequence.Consumer != f.last+1 {
		return errHole
	}
	f.last = about.Sequence.Consumer
	f.queue.level = about.NumPending == 0
	k, ok := recordKey(m.Subject)
	if !ok {
		return nil
	}
	f.queue.ms = append(f.queue.ms, change{newFound(k, about.Sequence.Stream, about.Timestamp, m.Header, m.Data), m.Subject})
	return nil
}

// control takes a heartbeat or a question of flow control.
func (f *feed) control(m *natsgo.Msg) error {
	if m.Reply != "" {
		f.queue.flow = append(f.queue.flow, m.Reply)
		return nil
	}
	if stalled := header(m, "Nats-Consumer-Stalled"); stalled != "" {
		f.queue.flow = append(f.queue.flow, stalled)
		return nil
	}
	last, err := strconv.ParseUint(header(m, "Nats-Last-Consumer"), 10, 64)
	if err != nil {
		return err
	}
	if last != f.last {
		return errHole
	}
	f.queue.level = true
	return nil
}

// take empties the queue.
func (f *feed) take() (feedBatch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.queue
	f.queue = feedBatch{}
	return b, f.err
}

var _ hub.Records = (*Engine)(nil)
