package nats

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

const (
	// markerTTL is how long a record that has ended is remembered as such, for
	// those who watch.
	markerTTL = time.Minute
	// headerGone and valueGone mark what stands in a removed record's place. They
	// are NATS' own, so that the server puts no marker in its place in turn.
	headerGone = "KV-Operation"
	valueGone  = "PURGE"
	// headerMarker says why the server removed a record (ADR-43).
	headerMarker   = "Nats-Marker-Reason"
	headerExpected = "Nats-Expected-Last-Subject-Sequence"
)

var errRevision = earshot.Errorf(earshot.Conflict, "the record was changed meanwhile")

// recordSubject names a record, or for a prefix the record that has it as key.
func recordSubject(k hub.Key) string {
	b := []byte(strings.TrimSuffix(subjectRecord, "."))
	for _, level := range k {
		b = append(b, '.')
		b = appendLevel(b, level)
	}
	return string(b)
}

func recordKey(subject string) (hub.Key, bool) {
	rest, ok := strings.CutPrefix(subject, subjectRecord)
	if !ok {
		return nil, false
	}
	var k hub.Key
	for token := range strings.SplitSeq(rest, ".") {
		level, ok := levelOf(token)
		if !ok {
			return nil, false
		}
		k = append(k, level)
	}
	return k, true
}

// gone reports whether a message stands for a record that is no more.
func gone(h natsgo.Header) bool {
	return len(h[headerMarker]) > 0 || len(h[headerGone]) > 0 && h[headerGone][0] == valueGone
}

// A found record may be none: then only its sequence says what stands in its
// place, 0 for nothing.
type found struct {
	hub.Record
	seq uint64
}

func (f *found) gone() bool { return f.Data == nil }

// newFound takes a message that stands at a record's subject.
func newFound(k hub.Key, seq uint64, at time.Time, h natsgo.Header, data []byte) found {
	f := found{Record: hub.Record{Key: k, Revision: seq, Time: at}, seq: seq}
	if gone(h) {
		return f
	}
	if f.Data = data; data == nil {
		f.Data = []byte{}
	}
	return f
}

// shown are the sequences of records that may be shown: what a crash would undo
// must not be known to anybody.
type shown struct {
	newest  atomic.Uint64 // that was seen
	durable atomic.Uint64 // that is on disk for sure
}

// raise lifts a mark.
func raise(mark *atomic.Uint64, to uint64) {
	for {
		old := mark.Load()
		if to <= old || mark.CompareAndSwap(old, to) {
			return
		}
	}
}

// settled returns when what was read is on disk.
func (e *Engine) settled(ctx context.Context, seq uint64) error {
	if !e.barrier.on() || seq <= e.shown.durable.Load() {
		return nil
	}
	raise(&e.shown.newest, seq)
	if err := e.sync(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

// Get reads a record; see hub.Records.
func (e *Engine) Get(ctx context.Context, key hub.Key) (hub.Record, error) {
	if err := key.Check(); err != nil {
		return hub.Record{}, err
	}
	l, err := e.linked()
	if err != nil {
		return hub.Record{}, err
	}
	ctx, cancel := contextFor(ctx, readTime)
	defer cancel()
	f, err := l.record(ctx, key)
	if err != nil {
		return hub.Record{}, unavailable(err)
	}
	if err := e.settled(ctx, f.seq); err != nil {
		return hub.Record{}, err
	}
	if f.gone() {
		return hub.Record{Key: key}, nil
	}
	return f.Record, nil
}

// record reads what stands at a key: from the stream's leader, which has all
// that was acknowledged, or directly where there is one server only.
func (l *link) record(ctx context.Context, key hub.Key) (found, error) {
	if l.replicas > 1 {
		return l.recordAtLeader(ctx, key)
	}
	m, err := l.repeat(ctx, "$JS.API.DIRECT.GET."+recordStream+"."+recordSubject(key), nil)
	if err != nil {
		return found{}, err
	}
	switch status := header(m, headerStatus); status {
	case "":
		s, ok := readStored(m)
		if !ok {
			return found{}, errors.New("an answer without a sequence")
		}
		return newFound(key, s.seq, s.stamp, m.Header, m.Data), nil
	case "404":
		return found{}, nil
	default:
		return found{}, errors.New("the log answers " + status + " " + header(m, "Description"))
	}
}

func (l *link) recordAtLeader(ctx context.Context, key hub.Key) (found, error) {
	request, err := json.Marshal(struct {
		LastFor string `json:"last_by_subj"`
	}{recordSubject(key)})
	if err != nil {
		return found{}, err
	}
	m, err := l.repeat(ctx, "$JS.API.STREAM.MSG.GET."+recordStream, request)
	if err != nil {
		return found{}, err
	}
	var answer struct {
		Message *struct {
			Seq    uint64    `json:"seq"`
			Header []byte    `json:"hdrs"`
			Data   []byte    `json:"data"`
			Time   time.Time `json:"time"`
		} `json:"message"`
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return found{}, err
	}
	switch a := answer.Message; {
	case answer.Error != nil && answer.Error.Code == 404:
		return found{}, nil
	case answer.Error != nil:
		return found{}, answer.Error
	case a == nil:
		return found{}, errors.New("an answer without a message")
	default:
		h, err := natsgo.DecodeHeadersMsg(a.Header)
		if err != nil && len(a.Header) > 0 {
			return found{}, err
		}
		return newFound(key, a.Seq, a.Time, h, a.Data), nil
	}
}

// apiError is JetStream's.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// Error returns what JetStream says.
func (e *apiError) Error() string { return e.Description }

// repeat asks, and asks again while nobody answers: while a cluster changes its
// leader, nobody does. It is for questions only.
func (l *link) repeat(ctx context.Context, subject string, request []byte) (*natsgo.Msg, error) {
	for {
		once, cancel := contextFor(ctx, askedAgain)
		m, err := l.conn.RequestWithContext(once, subject, request)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return m, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// Put writes a record; see hub.Records.
func (e *Engine) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	if len(data) > hub.MaxRecord {
		return 0, earshot.Errorf(earshot.TooLarge, "a record of %d bytes", len(data))
	}
	if err := key.Check(); err != nil {
		return 0, err
	}
	if err := e.admitRecord(ctx, key, data); err != nil {
		return 0, err
	}
	m := natsgo.NewMsg(recordSubject(key))
	m.Data = data
	if ttl > 0 {
		m.Header[headerTTL] = []string{seconds(ttl)}
	}
	if revision != 0 {
		return e.write(ctx, m, revision)
	}
	return e.create(ctx, key, m)
}

// createTries bounds how often a record that is not there is tried to be made,
// while others make and remove it.
const createTries = 4

// create writes a record where there is none. What is left of one that was
// removed may stand there.
func (e *Engine) create(ctx context.Context, key hub.Key, m *natsgo.Msg) (uint64, error) {
	last := uint64(0)
	for range createTries {
		revision, err := e.write(ctx, m, last)
		if earshot.CodeOf(err) != earshot.Conflict {
			return revision, err
		}
		l, err := e.linked()
		if err != nil {
			return 0, err
		}
		asked, cancel := contextFor(ctx, readTime)
		f, err := l.record(asked, key)
		cancel()
		switch {
		case err != nil:
			return 0, unavailable(err)
		case !f.gone():
			return 0, errRevision
		}
		last = f.seq
	}
	return 0, errRevision
}

// Delete removes a record; see hub.Records.
func (e *Engine) Delete(ctx context.Context, key hub.Key, revision uint64) error {
	if revision == 0 || revision == hub.AnyRevision {
		// What is not there needs no mark that it is gone.
		r, err := e.Get(ctx, key)
		switch {
		case err != nil || r.Revision == 0:
			return err
		case revision == 0:
			return errRevision
		}
	}
	if err := key.Check(); err != nil {
		return err
	}
	m := natsgo.NewMsg(recordSubject(key))
	m.Header[headerGone] = []string{valueGone}
	m.Header[headerTTL] = []string{seconds(markerTTL)}
	_, err := e.write(ctx, m, revision)
	return err
}

// A writing is a write of a record under way. It holds one of the engine's slots.
type writing struct {
	e    *Engine
	seq  uint64     // to be read after a good outcome only
	done chan error // gets the outcome
}

// write sends a record if the last message of its subject has the sequence.
func (e *Engine) write(ctx context.Context, m *natsgo.Msg, last uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, unavailable(context.Cause(ctx))
	}
	if err := e.admitWrite(m); err != nil {
		return 0, err
	}
	if last != hub.AnyRevision {
		m.Header[headerExpected] = []string{strconv.FormatUint(last, 10)}
	}
	w := &writing{e: e, done: make(chan error, 1)}
	w.send(m)
	select {
	case err := <-w.done:
		if err != nil {
			return 0, err
		}
		return w.seq, nil
	case <-ctx.Done():
		// It ends by itself, and then gives its slot back.
		return 0, unknownWrite(context.Cause(ctx))
	}
}

// admitWrite refuses, or takes a slot. What makes room is never refused for want
// of it.
func (e *Engine) admitWrite(m *natsgo.Msg) error {
	if !gone(m.Header) {
		return e.admit(false)
	}
	if err := e.refusal(); err != nil {
		return err
	}
	return e.slot()
}

func (w *writing) send(m *natsgo.Msg) {
	l, err := w.e.linked()
	if err != nil {
		w.finish(err)
		return
	}
	n, reply, err := l.calls.begin(w, time.Now().Add(w.e.config.Deadline))
	if err != nil {
		w.finish(unavailable(err))
		return
	}
	m.Reply = reply
	if err := l.conn.PublishMsg(m); err != nil && l.calls.take(n) != nil {
		w.finish(unavailable(err)) // what was not sent was not written
	}
}

// answer takes the stream's answer.
func (w *writing) answer(m *natsgo.Msg) (more bool) {
	if len(m.Data) == 0 && m.Header.Get(headerStatus) == "503" {
		w.finish(unavailable(natsgo.ErrNoResponders))
		return false
	}
	ack, err := readAck(m.Data)
	switch {
	case err != nil:
		w.fail(err)
	case ack.Error != nil:
		w.finish(refusedWrite(ack.Error.ErrCode, errors.New(ack.Error.Description)))
	case ack.Seq == 0 || ack.Stream != recordStream:
		w.fail(errors.New("not the answer of the records"))
	default:
		w.seq = ack.Seq
		raise(&w.e.shown.newest, ack.Seq)
		if w.e.barrier.on() {
			w.e.barrier.put(w)
			return false
		}
		w.finish(nil)
	}
	return false
}

// refusedWrite maps an error of the stream, which has not written then.
func refusedWrite(code int, err error) error {
	switch {
	case code == codeWrongLast || code == codeWrongLast2:
		return errRevision
	case noSpace(code, err):
		return &earshot.Error{Code: earshot.Full, Text: "storage is full", Err: err, RetryAfter: 10 * time.Second}
	}
	return unavailable(err)
}

// noSpace reports whether an error of JetStream says that a bound is reached.
func noSpace(code int, err error) bool {
	return code == codeFull || code == codeStorageFull || code == codeStoreFailed && strings.Contains(err.Error(), "maximum bytes")
}

// synced tells that the record is on disk, or cannot be trusted to be.
func (w *writing) synced(err error) {
	if err != nil {
		w.fail(err)
		return
	}
	w.finish(nil)
}

func (w *writing) fail(err error) { w.finish(unknownWrite(err)) }

func unknownWrite(err error) error {
	return &earshot.Error{Code: earshot.Unknown, Text: "the record may have been written", Err: err}
}

func (w *writing) finish(err error) {
	<-w.e.slots
	w.done <- err
}

// Alone reports whether no other node can use the log: the data directory of
// an embedded one is locked.
func (e *Engine) Alone() bool { return e.config.embedded() }
