package nats

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// Headers of a publish and of what is stored.
const (
	headerMsgID    = "Nats-Msg-Id"
	headerTTL      = "Nats-TTL"
	headerSubject  = "Nats-Subject"
	headerSequence = "Nats-Sequence"
	headerLast     = "Nats-Last-Sequence"
	headerTime     = "Nats-Time-Stamp"
	headerPending  = "Nats-Num-Pending"
	headerStatus   = "Status"
)

// An appending is an append under way. It holds one of the engine's slots.
type appending struct {
	e        *Engine
	l        *link
	m        *natsgo.Msg
	done     func(hub.Appended, error)
	wantID   bool
	toDisk   bool
	deadline time.Time
	// What the log answered.
	seq       uint64
	duplicate bool
}

// Append stores m; see hub.Log.
func (e *Engine) Append(m *earshot.Message, o hub.AppendOptions, done func(hub.Appended, error)) {
	early := m.Store == 0 || o.Rule != nil && o.Rule.BeforeDisk
	if err := e.admit(early); err != nil {
		e.stats.refuse(err)
		done(hub.Appended{}, err)
		return
	}
	a := &appending{e: e, done: done, wantID: o.WantID, toDisk: m.Store != 0 && e.barrier.on()}
	depth := 0
	if o.Rule != nil {
		depth = min(o.Rule.Depth, e.config.Cap)
	}
	data, err := e.codec.seal(m, early, depth)
	if err == nil && len(data) > maxEnvelope-4096 {
		err = &earshot.Error{Code: earshot.TooLarge, Text: "the message is too large to be stored"}
	}
	if err != nil {
		a.finish(hub.Appended{}, err)
		return
	}
	a.m = &natsgo.Msg{
		Subject: subject(spaceStored, m.App, m.Channel, e.config.Buckets), Data: data, Header: natsgo.Header{},
	}
	if ttl := e.ttl(m.Store); ttl != "" {
		a.m.Header[headerTTL] = []string{ttl}
	}
	if o.Key != "" {
		a.m.Header[headerMsgID] = []string{messageID(m.App, m.Channel, o.Key)}
	}
	if depth > 0 {
		e.trims.mark(m.App, m.Channel, depth)
	}
	a.deadline = time.Now().Add(e.config.Deadline)
	a.publish()
}

// admit refuses, or takes a slot.
func (e *Engine) admit(early bool) error {
	if err := e.refusal(); err != nil {
		return err
	}
	if e.low.Load() {
		return &earshot.Error{Code: earshot.Full, Text: "storage is full", RetryAfter: 10 * time.Second}
	}
	if early && e.barrier.on() {
		if err := e.recordEarly(); err != nil {
			return unavailable(err)
		}
	}
	if e.config.embedded() && e.timeline.behind(e.config.Now()) {
		if err := e.waitForClock(); err != nil {
			return unavailable(err)
		}
	}
	return e.slot()
}

// slot takes a slot, and waits for one for a moment.
func (e *Engine) slot() error {
	select {
	case e.slots <- struct{}{}:
	default:
		timer := time.NewTimer(inFlightFor)
		defer timer.Stop()
		select {
		case e.slots <- struct{}{}:
		case <-e.closing:
			return e.refusal()
		case <-timer.C:
			return &earshot.Error{Code: earshot.Limited, Text: "too many messages are being stored", RetryAfter: time.Second}
		}
	}
	// Close may have begun since, and counts on no new ones.
	if err := e.refusal(); err != nil {
		<-e.slots
		return err
	}
	return nil
}

// ttl is how long the log keeps a message, in whole seconds; empty for ever.
func (e *Engine) ttl(store time.Duration) string {
	if store == earshot.Forever {
		return ""
	}
	if store == 0 {
		store = e.config.ResumeWindow
	}
	return seconds(store)
}

// seconds rounds up; the log knows no less than one.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((max(d, minTTL)+time.Second-1)/time.Second), 10)
}

// messageID scopes an idempotency key. It is hashed, as a key may be any bytes.
func messageID(app, channel, key string) string {
	h := sha256.New()
	for _, part := range []string{app, channel, key} {
		_, _ = h.Write(strconv.AppendInt(nil, int64(len(part)), 10))
		_, _ = h.Write([]byte{':'})
		_, _ = h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// publish sends the message to the log.
func (a *appending) publish() {
	l, err := a.e.linked()
	if err != nil {
		a.fail(err)
		return
	}
	a.l = l
	n, reply, err := l.calls.begin(a, a.deadline)
	if err != nil {
		a.finish(hub.Appended{}, unavailable(err))
		return
	}
	a.m.Reply = reply
	if err := l.conn.PublishMsg(a.m); err != nil && l.calls.take(n) != nil {
		// What was not sent was not stored.
		a.finish(hub.Appended{}, unavailable(err))
	}
}

// A pubAck is the log's answer.
type pubAck struct {
	Stream    string `json:"stream"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Error     *struct {
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// readAck reads the answer; the usual one without reflection.
func readAck(b []byte) (ack pubAck, err error) {
	const usual = `{"stream":"` + logStream + `", "seq":`
	const dense = `{"stream":"` + logStream + `","seq":`
	rest, ok := bytes.CutPrefix(b, []byte(dense))
	if !ok {
		rest, ok = bytes.CutPrefix(b, []byte(usual))
	}
	if ok && len(rest) > 1 && rest[len(rest)-1] == '}' {
		if seq, err := strconv.ParseUint(string(rest[:len(rest)-1]), 10, 64); err == nil {
			return pubAck{Stream: logStream, Seq: seq}, nil
		}
	}
	err = json.Unmarshal(b, &ack)
	return ack, err
}

// answer takes the log's answer.
func (a *appending) answer(m *natsgo.Msg) (more bool) {
	if len(m.Data) == 0 && m.Header.Get(headerStatus) == "503" {
		a.finish(hub.Appended{}, unavailable(natsgo.ErrNoResponders))
		return false
	}
	ack, err := readAck(m.Data)
	switch {
	case err != nil:
		a.fail(err)
	case ack.Error != nil:
		a.refused(ack.Error.ErrCode, errors.New(ack.Error.Description))
	case ack.Seq == 0 || ack.Stream != logStream:
		a.fail(errors.New("not the log's answer"))
	default:
		a.seq, a.duplicate = ack.Seq, ack.Duplicate
		a.e.raise(a.seq)
		if a.toDisk {
			a.e.barrier.put(a)
			return false
		}
		a.stored()
	}
	return false
}

// refused maps an error of the log.
func (a *appending) refused(code int, err error) {
	switch code {
	case codeInProcess:
		// The first message of this key is on its way through the cluster; it
		// will be a duplicate in a moment, or the first one failed.
		if time.Now().Before(a.deadline) {
			a.e.running.Go(func() {
				a.e.pause(20 * time.Millisecond)
				a.publish()
			})
			return
		}
		a.fail(err)
	case codeFull:
		a.finish(hub.Appended{}, &earshot.Error{Code: earshot.Full, Text: "storage is full", Err: err, RetryAfter: 10 * time.Second})
	default:
		if code == codeStoreFailed && strings.Contains(err.Error(), "maximum bytes") {
			a.refused(codeFull, err)
			return
		}
		a.finish(hub.Appended{}, unavailable(err))
	}
}

// fail tells that the outcome is not known.
func (a *appending) fail(err error) {
	a.finish(hub.Appended{}, &earshot.Error{
		Code: earshot.Unknown, Err: err,
		Text: "the message may have been stored; repeat the publish with the same idempotency key",
	})
}

// synced tells that the message is on disk, or cannot be trusted to be.
func (a *appending) synced(err error) {
	if err != nil {
		a.fail(err)
		return
	}
	a.stored()
}

// stored answers, with the message's id if that is asked for.
func (a *appending) stored() {
	r := hub.Appended{Duplicate: a.duplicate}
	if !a.wantID {
		a.finish(r, nil)
		return
	}
	if at, ok := a.e.timeline.recent(a.seq); ok {
		r.ID = earshot.NewID(at, a.e.position(a.seq))
		a.finish(r, nil)
		return
	}
	a.e.running.Go(func() { a.readID(r) })
}

// readID learns the message's time from the log. A message that is not there
// any more has no id to give.
func (a *appending) readID(r hub.Appended) {
	ctx, cancel := context.WithTimeout(a.e.ctx, a.e.config.Deadline)
	defer cancel()
	s, ok, err := a.l.atLeader(ctx, a.seq, "")
	switch {
	case err != nil:
		a.fail(err)
		return
	case ok && s.seq == a.seq:
		r.ID = earshot.NewID(a.e.timeline.at(s.seq, s.stamp), a.e.position(a.seq))
	}
	a.finish(r, nil)
}

// finish gives the outcome.
func (a *appending) finish(r hub.Appended, err error) {
	if err != nil {
		a.e.stats.refuse(err)
	} else {
		a.e.stats.appended.Add(1)
	}
	<-a.e.slots
	a.done(r, err)
}

// deadlineEvery is how exact the deadline of an append is.
const deadlineEvery = 50 * time.Millisecond

var errNoAnswer = errors.New("the log did not answer in time")

// runDeadlines ends what waited too long, and watches the free space.
func (e *Engine) runDeadlines() {
	ticker := time.NewTicker(deadlineEvery)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-e.ctx.Done():
			return
		case now := <-ticker.C:
			if l := e.link.Load(); l != nil {
				l.calls.expire(now, errNoAnswer)
			}
			if i%2 == 0 {
				e.watchSpace()
			}
		}
	}
}
