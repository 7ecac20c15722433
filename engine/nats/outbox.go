package nats

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

var _ hub.Outbox = (*Engine)(nil)

// entryWindow is how long the outbox remembers the key of an entry.
const entryWindow = 2 * time.Minute

// An entry is what the outbox stores; its app is in the subject.
type entry struct {
	Line string `cbor:"1,keyasint,omitempty"`
	Data []byte `cbor:"2,keyasint,omitempty"`
}

// entriesOf names an app's entries: all, or those of one line. A line is hashed,
// as it may be longer than a subject; two that meet in a hash are told apart
// when they are read.
func entriesOf(app, line string) string {
	b := appendLevel([]byte(subjectEvent), app)
	if line == "" {
		return string(b) + ".*"
	}
	hash := sha256.Sum256([]byte(line))
	return string(b) + "." + hex.EncodeToString(hash[:8])
}

// eventBytes bounds the outbox.
func (e *Engine) eventBytes() (int64, error) {
	if !e.config.embedded() {
		return e.config.EventsBytes, nil
	}
	store, err := e.maxStore()
	return e.maxEvents(store), err
}

// A posting is an entry on its way into the outbox. It holds one of the
// engine's slots.
type posting struct {
	e        *Engine
	m        *natsgo.Msg
	done     func(error)
	deadline time.Time
}

// PutEvent stores an entry; see hub.Outbox.
func (e *Engine) PutEvent(in hub.Entry, done func(error)) {
	if len(in.Data) > hub.MaxEntry {
		done(earshot.Errorf(earshot.TooLarge, "an event of %d bytes", len(in.Data)))
		return
	}
	if err := e.admit(false); err != nil {
		done(err)
		return
	}
	p := &posting{e: e, done: done, deadline: time.Now().Add(e.config.Deadline)}
	data, err := e.codec.encode(&entry{in.Line, in.Data})
	if err != nil {
		p.finish(err)
		return
	}
	p.m = &natsgo.Msg{Subject: entriesOf(in.App, in.Line), Data: data, Header: natsgo.Header{}}
	if in.Line == "" {
		p.m.Subject = strings.TrimSuffix(p.m.Subject, "*") + "0"
	}
	if in.Key != "" {
		p.m.Header[headerMsgID] = []string{messageID(in.App, "", in.Key)}
	}
	p.publish()
}

func (p *posting) publish() {
	l, err := p.e.linked()
	if err != nil {
		p.finish(err)
		return
	}
	n, reply, err := l.calls.begin(p, p.deadline)
	if err != nil {
		p.finish(unavailable(err))
		return
	}
	p.m.Reply = reply
	if err := l.conn.PublishMsg(p.m); err != nil && l.calls.take(n) != nil {
		p.finish(unavailable(err)) // what was not sent was not stored
	}
}

// answer takes the outbox's answer.
func (p *posting) answer(m *natsgo.Msg) (more bool) {
	if len(m.Data) == 0 && m.Header.Get(headerStatus) == "503" {
		p.finish(unavailable(natsgo.ErrNoResponders))
		return false
	}
	ack, err := readAck(m.Data)
	switch {
	case err != nil:
		p.fail(err)
	case ack.Error != nil:
		p.refused(ack.Error.ErrCode, errors.New(ack.Error.Description))
	case ack.Seq == 0 || ack.Stream != eventStream:
		p.fail(errors.New("not the outbox's answer"))
	case p.e.barrier.on():
		p.e.barrier.put(p)
	default:
		p.finish(nil)
	}
	return false
}

// refused maps an error of the outbox.
func (p *posting) refused(code int, err error) {
	switch {
	case code == codeInProcess && time.Now().Before(p.deadline):
		// The first entry of this key is on its way through the cluster.
		p.e.running.Go(func() {
			p.e.pause(20 * time.Millisecond)
			p.publish()
		})
	case code == codeInProcess:
		p.fail(err)
	case code == codeFull || code == codeStoreFailed && strings.Contains(err.Error(), "maximum bytes"):
		p.finish(&earshot.Error{Code: earshot.Full, Text: "the outbox of events is full", Err: err, RetryAfter: 10 * time.Second})
	default:
		p.finish(unavailable(err))
	}
}

// synced tells that the entry is on disk, or cannot be trusted to be.
func (p *posting) synced(err error) {
	if err != nil {
		p.fail(err)
		return
	}
	p.finish(nil)
}

func (p *posting) fail(err error) {
	p.finish(&earshot.Error{Code: earshot.Unknown, Text: "the event may have been recorded", Err: err})
}

func (p *posting) finish(err error) {
	<-p.e.slots
	p.done(err)
}

// epochOf names the life of an outbox: another one was made at another time.
func epochOf(created time.Time) uint16 { return uint16(created.UnixNano()%65535) + 1 }

// ReadEvents returns entries of the outbox; see hub.Outbox.
func (e *Engine) ReadEvents(ctx context.Context, app, line string, after earshot.Position, limit int) (p hub.EntryPage, err error) {
	l, err := e.linked()
	if err != nil {
		return p, err
	}
	ctx, cancel := contextFor(ctx, readTime)
	defer cancel()
	if !after.IsZero() && after.Epoch != l.eventLife {
		after, p.Gone = earshot.Position{}, true
	}
	var ms []stored
	if line != "" && l.replicas > 1 {
		ms, p.More, err = l.entriesAtLeader(ctx, entriesOf(app, line), after.Seq+1, limit)
	} else {
		ms, p.More, err = l.entries(ctx, entriesOf(app, line), after.Seq+1, limit)
	}
	if err != nil {
		return p, unavailable(err)
	}
	for _, s := range ms {
		var v entry
		if err := e.codec.decode(s.data, &v); err != nil {
			e.stats.malformed.Add(1)
			continue
		}
		if line != "" && v.Line != line {
			continue
		}
		p.Entries = append(p.Entries, hub.Entry{
			App: app, Line: v.Line, Data: v.Data, Position: earshot.Position{Epoch: l.eventLife, Seq: s.seq}, Time: s.stamp,
		})
	}
	if len(ms) > 0 && len(p.Entries) == 0 && p.More {
		// None of them was meant: those behind may be.
		return e.ReadEvents(ctx, app, line, earshot.Position{Epoch: l.eventLife, Seq: ms[len(ms)-1].seq}, limit)
	}
	if len(p.Entries) == 0 {
		return p, nil
	}
	return p, e.sync(ctx) // a reader must not know what a crash would undo
}

// entries reads from any replica.
func (l *link) entries(ctx context.Context, subject string, from uint64, limit int) (ms []stored, more bool, err error) {
	n := min(limit, batchMost)
	request, err := json.Marshal(getRequest{Seq: from, NextFor: subject, Batch: n, MaxBytes: batchBytes})
	if err != nil {
		return nil, false, err
	}
	for {
		ms, more, err = l.askStream(ctx, eventStream, request, n)
		if !errors.Is(err, errSilent) || ctx.Err() != nil {
			return ms, more, err
		}
	}
}

// entriesAtLeader reads one by one from the leader, which has all that any
// replica has.
func (l *link) entriesAtLeader(ctx context.Context, subject string, from uint64, limit int) (ms []stored, more bool, err error) {
	for len(ms) < limit {
		m, err := l.events.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return ms, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		ms = append(ms, stored{seq: m.Sequence, stamp: m.Time, subject: m.Subject, data: m.Data})
		from = m.Sequence + 1
	}
	return ms, true, nil
}

// DropEvents removes entries; see hub.Outbox.
func (e *Engine) DropEvents(ctx context.Context, app string, upto earshot.Position) error {
	l, err := e.linked()
	if err != nil {
		return err
	}
	if upto.Epoch != l.eventLife {
		return nil // of an outbox that is no more
	}
	ctx, cancel := contextFor(ctx, readTime)
	defer cancel()
	err = l.events.Purge(ctx, jetstream.WithPurgeSubject(entriesOf(app, "")), jetstream.WithPurgeSequence(upto.Seq+1))
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// Events tells how full the outbox is; see hub.Outbox.
func (e *Engine) Events(ctx context.Context) (s hub.OutboxState, err error) {
	l, err := e.linked()
	if err != nil {
		return s, err
	}
	ctx, cancel := contextFor(ctx, readTime)
	defer cancel()
	info, err := l.events.Info(ctx)
	if err != nil {
		return s, unavailable(err)
	}
	return hub.OutboxState{
		Bytes: info.State.Bytes, Limit: uint64(max(info.Config.MaxBytes, 0)), Entries: info.State.Msgs,
		Newest: earshot.Position{Epoch: l.eventLife, Seq: info.State.LastSeq}, Keep: info.Config.MaxAge,
	}, nil
}
