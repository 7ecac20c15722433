package nats

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

const (
	recordStream = "RECORDS"
	// markerTTL is how long a record that has ended is remembered as such, for
	// those who watch.
	markerTTL = time.Minute
	// headerGone marks what stands in a removed record's place.
	headerGone = "Earshot-Gone"
	// headerMarker says why the server removed a record (ADR-43).
	headerMarker = "Nats-Marker-Reason"
)

var errRevision = earshot.Errorf(earshot.Conflict, "the record was changed meanwhile")

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

// Get reads a record; see hub.Records.
func (e *Engine) Get(ctx context.Context, key hub.Key) (hub.Record, error) {
	r, _, err := e.recordAt(ctx, key)
	return r, err
}

// recordAt reads a record, and the sequence of what stands in its place.
func (e *Engine) recordAt(ctx context.Context, key hub.Key) (r hub.Record, last uint64, err error) {
	r.Key = key
	l, err := e.linked()
	if err != nil {
		return r, 0, err
	}
	ctx, cancel := contextFor(ctx, readTime)
	defer cancel()
	m, err := l.records.GetLastMsgForSubject(ctx, recordSubject(key))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return r, 0, nil
	case err != nil:
		return r, 0, unavailable(err)
	case gone(m.Header):
		return r, m.Sequence, nil
	}
	r.Data, r.Revision, r.Time = m.Data, m.Sequence, m.Time
	return r, m.Sequence, nil
}

func gone(h natsgo.Header) bool {
	return len(h[headerGone]) > 0 || len(h[headerMarker]) > 0
}

// Put writes a record; see hub.Records.
func (e *Engine) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	if len(data) > hub.MaxRecord {
		return 0, earshot.Errorf(earshot.TooLarge, "a record of %d bytes", len(data))
	}
	m := natsgo.NewMsg("")
	m.Data = data
	if ttl > 0 {
		m.Header[headerTTL] = []string{seconds(ttl)}
	}
	return e.write(ctx, key, m, revision)
}

// Delete removes a record; see hub.Records.
func (e *Engine) Delete(ctx context.Context, key hub.Key, revision uint64) error {
	m := natsgo.NewMsg("")
	m.Header[headerGone] = []string{"1"}
	m.Header[headerTTL] = []string{seconds(markerTTL)}
	_, err := e.write(ctx, key, m, revision)
	return err
}

func (e *Engine) write(ctx context.Context, key hub.Key, m *natsgo.Msg, revision uint64) (uint64, error) {
	if err := key.Check(); err != nil {
		return 0, err
	}
	l, err := e.linked()
	if err != nil {
		return 0, err
	}
	if e.low.Load() {
		return 0, earshot.Errorf(earshot.Full, "storage is full")
	}
	ctx, cancel := contextFor(ctx, e.config.Deadline)
	defer cancel()
	var options []jetstream.PublishOpt
	if revision != hub.AnyRevision {
		if revision == 0 {
			var r hub.Record
			if r, revision, err = e.recordAt(ctx, key); err != nil {
				return 0, err
			}
			if r.Revision != 0 {
				return 0, errRevision
			}
		}
		options = append(options, jetstream.WithExpectLastSequencePerSubject(revision))
	}
	m.Subject = recordSubject(key)
	ack, err := l.js.PublishMsg(ctx, m, options...)
	switch {
	case isConflict(err):
		return 0, errRevision
	case err != nil:
		return 0, unavailable(err)
	}
	if err := e.sync(ctx); err != nil {
		return 0, unavailable(err)
	}
	return ack.Sequence, nil
}

// List reads records in the order of their keys; see hub.Records.
func (e *Engine) List(ctx context.Context, prefix, after hub.Key, limit int) (records []hub.Record, more bool, err error) {
	l, err := e.linked()
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := contextFor(ctx, readTime)
	defer cancel()
	info, err := l.records.Info(ctx, jetstream.WithSubjectFilter(recordSubject(prefix)+".>"))
	if err != nil {
		return nil, false, unavailable(err)
	}
	var keys []hub.Key
	for subject := range info.State.Subjects {
		if k, ok := recordKey(subject); ok && (after == nil || k.Compare(after) > 0) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, hub.Key.Compare)
	for _, k := range keys {
		r, _, err := e.recordAt(ctx, k)
		switch {
		case err != nil:
			return nil, false, err
		case r.Revision == 0:
			continue
		case len(records) == limit:
			return records, true, nil
		}
		records = append(records, r)
	}
	return records, false, nil
}

// Watch tells of changes; see hub.Records.
func (e *Engine) Watch(ctx context.Context, prefix hub.Key, changed func([]hub.Record), synced func()) error {
	l, err := e.linked()
	if err != nil {
		return err
	}
	c, err := l.records.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{recordSubject(prefix) + ".>"}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return unavailable(err)
	}
	ms, err := c.Messages()
	if err != nil {
		return unavailable(err)
	}
	stop := context.AfterFunc(ctx, ms.Stop)
	defer stop()
	defer ms.Stop()
	if info := c.CachedInfo(); info != nil && info.NumPending == 0 {
		synced()
		synced = func() {}
	}
	for {
		m, err := ms.Next()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return unavailable(err)
		}
		about, err := m.Metadata()
		k, ok := recordKey(m.Subject())
		if err != nil || !ok {
			continue
		}
		r := hub.Record{Key: k, Revision: about.Sequence.Stream, Time: about.Timestamp}
		if !gone(m.Headers()) {
			r.Data = append([]byte{}, m.Data()...)
		}
		changed([]hub.Record{r})
		if about.NumPending == 0 {
			synced()
			synced = func() {}
		}
	}
}
