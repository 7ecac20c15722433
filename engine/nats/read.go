package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// Bounds of a read.
const (
	pageMessages = 1000
	pageBytes    = 4 << 20
	batchMost    = 256
	batchBytes   = 1 << 20
	readTime     = 5 * time.Second
	// readAgain is when a replica that is behind is asked again.
	readAgain = 10 * time.Millisecond
)

// A getRequest is JetStream's for a direct read (ADR-31).
type getRequest struct {
	Seq      uint64 `json:"seq,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// A batch collects the answers to a direct read.
type batch struct {
	answers chan *natsgo.Msg
	lost    chan struct{} // closed when no more will come
}

func (b *batch) answer(m *natsgo.Msg) (more bool) {
	last := header(m, headerStatus) != ""
	select {
	case b.answers <- m:
	default:
		return false // more than was asked for
	}
	return !last
}

func (b *batch) fail(error) { close(b.lost) }

// askedAgain is when a direct read without an answer is sent once more: a
// replica that stops, or is being changed, does not always answer.
const askedAgain = time.Second

var errSilent = errors.New("no answer")

// direct reads up to n messages of a subject from a sequence on, from any
// replica. More says that there are others behind them. A replica that is
// behind the others misses the newest.
func (l *link) direct(ctx context.Context, subject string, from uint64, n int) (ms []stored, more bool, err error) {
	n = min(n, batchMost)
	request, err := json.Marshal(getRequest{Seq: max(from, 1), NextFor: subject, Batch: n, MaxBytes: batchBytes})
	if err != nil {
		return nil, false, err
	}
	for {
		ms, more, err = l.askDirect(ctx, request, n)
		if !errors.Is(err, errSilent) || ctx.Err() != nil {
			return ms, more, err
		}
	}
}

// next reads the first message of a subject from a sequence on, as direct does.
// The server does not count what is behind it, for which it looks at every
// message of the newest files: where there are few to be read, one by one is
// several times cheaper.
func (l *link) next(ctx context.Context, subject string, from uint64) (ms []stored, more bool, err error) {
	request, err := json.Marshal(getRequest{Seq: max(from, 1), NextFor: subject})
	if err != nil {
		return nil, false, err
	}
	for {
		ms, _, err = l.askDirect(ctx, request, 0)
		if !errors.Is(err, errSilent) || ctx.Err() != nil {
			return ms, len(ms) > 0, err
		}
	}
}

// askDirect sends one direct read to the log.
func (l *link) askDirect(ctx context.Context, request []byte, n int) (ms []stored, more bool, err error) {
	ms, more, err = l.askStream(ctx, logStream, request, n)
	for i := range ms {
		s := &ms[i]
		s.stamp = l.engine.stamp(s.seq, s.stamp)
		l.engine.timeline.settled(ctx, s.seq, s.stamp)
	}
	return ms, more, err
}

// askStream sends one direct read to a stream and collects its answers: up to n
// and an end, or, for 0, the one answer of a read that is no batch.
func (l *link) askStream(ctx context.Context, stream string, request []byte, n int) (ms []stored, more bool, err error) {
	answers, end, err := l.collect(ctx, stream, request, n)
	if err != nil {
		return nil, false, err
	}
	for _, m := range answers {
		s, ok := readStored(m)
		if !ok {
			return nil, false, errors.New("an answer without a sequence")
		}
		ms = append(ms, s)
	}
	if end == nil {
		return ms, true, nil
	}
	return endOfBatch(end, header(end, headerStatus), ms)
}

// collect sends one direct read and returns its answers: up to n and the end, or
// one without an end for 0.
func (l *link) collect(ctx context.Context, stream string, request []byte, n int) (ms []*natsgo.Msg, end *natsgo.Msg, err error) {
	b := &batch{make(chan *natsgo.Msg, n+1), make(chan struct{})}
	id, reply, err := l.calls.begin(b, time.Time{})
	if err != nil {
		return nil, nil, err
	}
	defer l.calls.take(id)
	if err := l.conn.PublishRequest("$JS.API.DIRECT.GET."+stream, reply, request); err != nil {
		return nil, nil, err
	}
	patience := time.NewTimer(askedAgain)
	defer patience.Stop()
	for {
		select {
		case <-b.lost:
			return nil, nil, errLost
		case <-patience.C:
			return nil, nil, errSilent
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case m := <-b.answers:
			if header(m, headerStatus) != "" {
				return ms, m, nil
			}
			if ms = append(ms, m); n == 0 {
				return ms, nil, nil
			}
			patience.Reset(askedAgain)
		}
	}
}

// endOfBatch reads the last answer to a direct read.
func endOfBatch(m *natsgo.Msg, status string, ms []stored) ([]stored, bool, error) {
	switch status {
	case "204":
		pending := header(m, headerPending)
		return ms, pending != "" && pending != "0", nil
	case "404":
		return nil, false, nil
	}
	return nil, false, fmt.Errorf("the log answers %s %s", status, header(m, "Description"))
}

// atLeader reads the first message of a subject from a sequence on, or the
// message of that sequence if there is no subject, from the stream's leader,
// which has all that was acknowledged.
func (l *link) atLeader(ctx context.Context, from uint64, subject string) (s stored, ok bool, err error) {
	request, err := json.Marshal(getRequest{Seq: max(from, 1), NextFor: subject})
	if err != nil {
		return s, false, err
	}
	m, err := l.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+logStream, request)
	if err != nil {
		return s, false, err
	}
	var answer struct {
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
		Error *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return s, false, err
	}
	switch {
	case answer.Error != nil && answer.Error.Code == 404:
		return s, false, nil
	case answer.Error != nil:
		return s, false, errors.New(answer.Error.Description)
	case answer.Message == nil:
		return s, false, errors.New("an answer without a message")
	}
	a := answer.Message
	s = stored{seq: a.Seq, stamp: l.engine.stamp(a.Seq, a.Time), subject: a.Subject, data: a.Data}
	l.engine.timeline.settled(ctx, s.seq, s.stamp)
	return s, true, nil
}

// A reading is one Read under way.
type reading struct {
	e       *Engine
	l       *link
	r       hub.Range
	subject string
	after   uint64 // of this epoch, else 0
	before  uint64 // exclusive; no bound is the highest
	atLeast uint64
	limit   int
	bytes   int
	depth   uint64 // how many of the newest are shown

	page   hub.Page
	size   int
	newest uint64 // highest sequence of the channel that was seen
	exists bool   // the message at after is there
	future bool   // after was never given
	lost   bool   // something after it is there, but not shown any more
}

// Read returns stored messages of one channel; see hub.Log. A page that the
// answering replica cannot complete is asked for again, for as long as ctx
// lasts and 5 seconds at the most.
func (e *Engine) Read(ctx context.Context, app, channel string, r hub.Range) (hub.Page, error) {
	l, err := e.linked()
	if err != nil {
		return hub.Page{}, err
	}
	ctx, cancel := contextFor(ctx, readTime)
	defer cancel()
	page, err := e.read(ctx, l, app, channel, r)
	if err != nil {
		return hub.Page{}, unavailable(err)
	}
	return page, nil
}

func (e *Engine) read(ctx context.Context, l *link, app, channel string, r hub.Range) (hub.Page, error) {
	g := e.reading(l, app, channel, r)
	if err := e.reach(ctx, l, g.atLeast); err != nil {
		return hub.Page{}, err
	}
	if err := g.settleAfter(ctx); err != nil {
		return hub.Page{}, err
	}
	known := e.newest.Load()
	if l.replicas > 1 {
		known = 0 // the replica that answers may not have come so far
	}
	depth, err := e.depth(ctx, l, app, channel, g.subject)
	if err != nil {
		return hub.Page{}, err
	}
	g.depth = depth
	if r.Reverse {
		err = g.backward(ctx)
	} else {
		err = g.forward(ctx)
	}
	if err != nil {
		return hub.Page{}, err
	}
	if !r.Reverse && !g.page.More {
		g.page.Upto = max(known, g.newest, g.after, r.AtLeast)
	}
	if g.page.Exact, err = e.exact(ctx, l, app, channel, g); err != nil {
		return hub.Page{}, err
	}
	return g.page, e.showable(ctx, g.newest)
}

// showable waits until what was read is on disk: a reader must not know what a
// crash would undo.
func (e *Engine) showable(ctx context.Context, newest uint64) error {
	if newest <= e.barrier.durable.Load() {
		return nil
	}
	return e.sync(ctx)
}

func (e *Engine) reading(l *link, app, channel string, r hub.Range) *reading {
	g := &reading{
		e: e, l: l, r: r, subject: subject(spaceStored, app, channel, e.config.Buckets),
		before: math.MaxUint64, atLeast: r.AtLeast, limit: pageMessages, bytes: pageBytes,
	}
	epoch := uint16(e.epoch.Load())
	if r.After.Epoch == epoch {
		g.after = r.After.Seq
	}
	switch {
	case r.Before.IsZero():
	default:
		// Of another life's place the sequence is the best that is known.
		g.before = r.Before.Seq
	}
	if r.Limit > 0 {
		g.limit = min(r.Limit, pageMessages)
	}
	if r.Bytes > 0 {
		g.bytes = min(r.Bytes, pageBytes)
	}
	return g
}

// settleAfter notices a position that was never given; what there is comes
// instead.
func (g *reading) settleAfter(ctx context.Context) error {
	if g.after <= g.e.newest.Load() {
		return nil
	}
	info, err := g.l.log.Info(ctx)
	if err != nil {
		return err
	}
	g.e.raise(info.State.LastSeq)
	if g.after > info.State.LastSeq {
		g.after, g.future = 0, true
	}
	return nil
}

// reach makes sure that the log has come as far as seq.
func (e *Engine) reach(ctx context.Context, l *link, seq uint64) error {
	for seq > e.newest.Load() {
		info, err := l.log.Info(ctx)
		if err != nil {
			return err
		}
		e.raise(info.State.LastSeq)
		if seq <= info.State.LastSeq {
			return nil
		}
		if e.config.embedded() {
			return earshot.Errorf(earshot.Unavailable, "the log has not come as far as that")
		}
		if err := wait(ctx, readAgain); err != nil {
			return err
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// forward fills the page from the oldest.
func (g *reading) forward(ctx context.Context) error {
	from := max(g.after, 1) // including after itself, to see whether it exists
	for asked := 0; ; asked++ {
		ms, more, err := g.ask(ctx, from, asked)
		if err != nil {
			return err
		}
		for _, s := range ms {
			if from = s.seq + 1; g.take(s) {
				return nil
			}
		}
		if more {
			continue
		}
		behind, err := g.behind(ctx)
		if err != nil || !behind {
			return err
		}
	}
}

// fewMessages is how many messages a page reads one by one, before it reads the
// rest in batches.
const fewMessages = 8

// ask reads what comes from a sequence on. Without a depth nobody needs to know
// how many there are; from the beginning there may be many.
func (g *reading) ask(ctx context.Context, from uint64, asked int) (ms []stored, more bool, err error) {
	if g.depth == math.MaxUint64 && g.after > 0 && asked < fewMessages {
		return g.l.next(ctx, g.subject, from)
	}
	return g.l.direct(ctx, g.subject, from, g.limit-len(g.page.Messages)+2)
}

// take puts a message into a forward page; it reports that the page is done.
func (g *reading) take(s stored) (done bool) {
	g.newest = max(g.newest, s.seq)
	switch {
	case s.seq == g.after:
		g.exists = true
		return false
	case s.seq < g.after:
		return false
	case s.seq >= g.before:
		return true
	}
	m := g.shown(s)
	if m == nil {
		return false
	}
	if g.full(m) {
		g.page.More = true
		g.page.Upto = g.page.Messages[len(g.page.Messages)-1].ID.Position().Seq
		return true
	}
	g.add(m)
	return false
}

func (g *reading) add(m *earshot.Message) {
	g.page.Messages = append(g.page.Messages, m)
	g.size += size(m)
}

// full reports whether the page has no room for m. One always fits.
func (g *reading) full(m *earshot.Message) bool {
	n := len(g.page.Messages)
	return n >= g.limit || n > 0 && g.size+size(m) > g.bytes
}

func size(m *earshot.Message) int { return len(m.Data) + len(m.Event) }

// shown decodes a message if the range shows it, bounds by sequence aside.
func (g *reading) shown(s stored) *earshot.Message {
	if s.pending >= g.depth {
		g.lost = true
		return nil
	}
	m, _, err := g.e.message(s)
	if err != nil {
		g.e.stats.malformed.Add(1)
		return nil
	}
	switch {
	case m.Store == 0 && !g.r.Hidden:
		return nil
	case m.Time.Before(g.r.Since):
		return nil
	case m.Store > 0 && g.e.config.Now().Sub(m.Time) >= max(m.Store, minTTL):
		return nil // the log is about to drop it
	}
	return m
}

// behind reports whether the replica that answered lacks something that the
// page may need; then it is worth asking again.
func (g *reading) behind(ctx context.Context) (bool, error) {
	need := max(g.atLeast, g.after)
	if g.l.replicas == 1 || g.newest >= need {
		return false, nil
	}
	_, ok, err := g.l.atLeader(ctx, g.newest+1, g.subject)
	if err != nil {
		// There may be no leader for a moment.
		return true, wait(ctx, readAgain)
	}
	if !ok {
		return false, nil
	}
	return true, wait(ctx, readAgain)
}
