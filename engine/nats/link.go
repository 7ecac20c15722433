package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/earshot-io/earshot"
)

// A link is one life of the connection, and of the embedded server behind it.
type link struct {
	engine  *Engine
	n       uint64         // generation
	server  *server.Server // nil if it is not embedded
	conn    *natsgo.Conn
	js      jetstream.JetStream
	log     jetstream.Stream
	state   jetstream.Stream
	records jetstream.Stream
	events  jetstream.Stream
	// eventLife names the life of the outbox.
	eventLife uint16
	replicas  int
	calls     calls
}

// up makes a link and all that stands on it: streams, epoch, subscriptions. It
// returns when a message has gone through the log and come back.
func (e *Engine) up(ctx context.Context) error {
	l := &link{engine: e, n: e.links.Add(1)}
	err := e.dial(ctx, l)
	if err == nil {
		err = e.furnish(ctx, l)
	}
	if err != nil {
		l.close()
		return fmt.Errorf("log: %w", err)
	}
	e.shown.newest.Store(e.shown.durable.Load()) // what was not on disk may be gone
	e.link.Store(l)
	e.failed.Store(nil)
	e.turns.turn()
	return nil
}

// upAtLast is up that waits for a cluster that does not serve yet, since servers
// are started in any order. What waiting does not cure is returned at once.
func (e *Engine) upAtLast(ctx context.Context) error {
	pause := time.NewTicker(time.Second)
	defer pause.Stop()
	for {
		err := e.up(ctx)
		if err == nil || e.config.embedded() || !absent(err) || ctx.Err() != nil {
			return err
		}
		e.log.Warn("the NATS cluster does not serve yet", "err", err)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return err
		}
	}
}

// absent reports whether nobody answered, or not in time.
func absent(err error) bool {
	for _, e := range []error{natsgo.ErrNoServers, natsgo.ErrTimeout, natsgo.ErrNoResponders, context.DeadlineExceeded, io.EOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	var network net.Error
	return errors.As(err, &network)
}

// furnishTime bounds what comes after the server has recovered: a cluster may
// have to find its leaders.
const furnishTime = 20 * time.Second

func (e *Engine) furnish(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, furnishTime)
	defer cancel()
	var err error
	if l.js, err = jetstream.New(l.conn); err != nil {
		return err
	}
	if err := l.calls.open(l.conn); err != nil {
		return err
	}
	if err := l.makeStreams(ctx); err != nil {
		return err
	}
	if err := e.beginLife(ctx, l); err != nil {
		return err
	}
	if err := e.loadSteps(ctx, l); err != nil {
		return err
	}
	if err := l.subscribe(); err != nil {
		return err
	}
	return e.hearAgain(ctx, l)
}

// makeStreams makes the streams that are not there yet, or brings them up to date.
func (l *link) makeStreams(ctx context.Context) error {
	c := l.engine.config
	most, err := l.engine.maxLog()
	if err != nil {
		return err
	}
	records, err := l.engine.maxRecords()
	if err != nil {
		return err
	}
	events, err := l.engine.eventBytes()
	if err != nil {
		return err
	}
	configs := []jetstream.StreamConfig{
		{
			Name: logStream, Subjects: []string{spaceStored + ".>"}, Storage: jetstream.FileStorage,
			MaxMsgsPerSubject: int64(c.Cap), Duplicates: keyWindow, AllowMsgTTL: true, AllowDirect: true,
			MaxBytes: most, Discard: jetstream.DiscardNew,
			RePublish: &jetstream.RePublish{Source: spaceStored + ".>", Destination: spaceDelivered + ".>"},
		},
		{
			Name: stateStream, Subjects: []string{subjectState + ">"}, Storage: jetstream.FileStorage, MaxMsgsPerSubject: 1,
		},
		{
			Name: spentStream, Subjects: []string{subjectSpent + ">"}, Storage: jetstream.FileStorage,
			MaxMsgsPerSubject: 1, AllowMsgTTL: true,
		},
		{
			Name: recordStream, Subjects: []string{subjectRecord + ">"}, Storage: jetstream.FileStorage,
			MaxMsgsPerSubject: 1, AllowMsgTTL: true, AllowDirect: true, SubjectDeleteMarkerTTL: markerTTL,
			MaxBytes: records, Discard: jetstream.DiscardNew,
		},
		{
			Name: eventStream, Subjects: []string{subjectEvent + ">"}, Storage: jetstream.FileStorage,
			MaxMsgsPerSubject: -1, MaxBytes: events, MaxAge: c.EventsKeep, Discard: jetstream.DiscardNew,
			Duplicates: entryWindow, AllowDirect: true,
		},
	}
	for i, c := range configs {
		s, err := l.makeStream(ctx, c)
		if err != nil {
			return fmt.Errorf("stream %s: %w", c.Name, err)
		}
		switch i {
		case 0:
			l.log = s
		case 1:
			l.state = s
		case 3:
			l.records = s
		case 4:
			l.events, l.eventLife = s, epochOf(s.CachedInfo().Created)
		}
	}
	return nil
}

// Error codes of JetStream that mean something here.
const (
	codeNoPeers     = 10005
	codeFull        = 10023
	codeStorageFull = 10047
	codeNoCluster   = 10074
	codeWrongLast   = 10071
	codeWrongLast2  = 10164
	codeStoreFailed = 10077
	codeInProcess   = 10158
)

// makeStream makes or updates one stream: with three replicas, or with one if
// there is one server. A cluster may need time until it knows its servers.
func (l *link) makeStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	if l.replicas == 0 {
		l.replicas = 3
		if l.engine.config.embedded() {
			l.replicas = 1
		}
	}
	for {
		c.Replicas = l.replicas
		s, err := l.stream(ctx, c)
		if err == nil {
			// A stream whose beginning is not on disk would be gone after a crash.
			return s, l.engine.sync(ctx)
		}
		var api *jetstream.APIError
		wait := true
		if errors.As(err, &api) && int(api.ErrorCode) == codeNoCluster && l.replicas == 3 {
			l.replicas, wait = 1, false
		}
		if wait && (l.engine.config.embedded() || !l.again(ctx)) {
			if api != nil && int(api.ErrorCode) == codeNoPeers && !strings.Contains(api.Description, "insufficient storage") {
				return nil, fmt.Errorf("the cluster has not three servers; two are no safer than one, so use one or three: %w", err)
			}
			return nil, err
		}
	}
}

// askTime is how long one question about a stream may take. A cluster whose
// stream has no leader yet does not answer at all, and must be asked again.
const askTime = 2 * time.Second

// stream returns the stream as it is, if it is as it should be: an update of a
// cluster's stream disturbs its readers.
func (l *link) stream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	if !l.engine.config.embedded() {
		asked, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		ctx = asked
	}
	s, err := l.js.Stream(ctx, c.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return l.js.CreateOrUpdateStream(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	is := s.CachedInfo().Config
	l.replicas = is.Replicas
	if is.MaxMsgsPerSubject == c.MaxMsgsPerSubject && max(is.MaxBytes, 0) == max(c.MaxBytes, 0) &&
		is.Discard == c.Discard && is.MaxAge == c.MaxAge && is.AllowDirect == c.AllowDirect &&
		is.SubjectDeleteMarkerTTL == c.SubjectDeleteMarkerTTL {
		return s, nil
	}
	c.Replicas = is.Replicas
	return l.js.UpdateStream(ctx, c)
}

// again waits before something is tried again; false if there is no time.
func (l *link) again(ctx context.Context) bool {
	const pause = 100 * time.Millisecond
	until, ok := ctx.Deadline()
	if ok && time.Until(until) < 2*pause {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// What may wait for a callback: over it, messages are dropped, noticed, and
// read from the log by an audit.
const (
	waitingMessages = 256 << 10
	waitingBytes    = 256 << 20
)

// subscribe hears control messages and changes of the stream's leader.
func (l *link) subscribe() error {
	e := l.engine
	if !e.config.embedded() {
		leader := "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED." + logStream
		if _, err := l.conn.Subscribe(leader, func(*natsgo.Msg) { e.wantAudit(false) }); err != nil {
			return err
		}
		for _, subject := range []string{subjectControl, subjectControl + "." + string(appendLevel(nil, e.node))} {
			if _, err := l.conn.Subscribe(subject, e.onControl); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *link) onError(_ *natsgo.Conn, s *natsgo.Subscription, err error) {
	if errors.Is(err, natsgo.ErrSlowConsumer) {
		l.engine.stats.overruns.Add(1)
		l.engine.wantAudit(false)
	}
	subject := ""
	if s != nil {
		subject = s.Subject
	}
	l.engine.log.Warn("nats", "subscription", subject, "err", err)
}

func (l *link) onDisconnect(_ *natsgo.Conn, err error) {
	if l.engine.ctx.Err() == nil {
		l.engine.log.Warn("the connection to NATS is lost", "err", err)
	}
	l.fail(errLost)
}

var errLost = errors.New("the connection to the log was lost")

func (l *link) onReconnect(c *natsgo.Conn) {
	l.engine.log.Info("connected to NATS again", "server", c.ConnectedServerName())
	l.engine.wantAudit(true)
	l.engine.turns.turn()
}

// onClosed notices the end of a connection that nobody wanted.
func (l *link) onClosed(*natsgo.Conn) { l.engine.breaks(l.n, "the connection to the log was closed") }

// fail gives all that waits for an answer of this link its outcome.
func (l *link) fail(err error) { l.calls.fail(err) }

// close ends the connection and the embedded server.
func (l *link) close() {
	if l.conn != nil {
		l.conn.Close()
	}
	if l.server != nil {
		l.server.Shutdown()
		l.server.WaitForShutdown()
	}
	l.fail(errLost)
}

// A breakage is what only a restart of the embedded server mends. Of many that
// are told, the first one of the newest link is kept: a frozen stream tells for
// each message, and what an old link has still to tell must not hide what breaks
// the new one.
type breakage struct {
	more chan struct{} // something was told

	mu     sync.Mutex
	link   uint64
	reason string
}

// take returns what was told last.
func (b *breakage) take() (link uint64, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.link, b.reason
}

// breaks asks for a restart of the embedded server.
func (e *Engine) breaks(link uint64, reason string) {
	b := &e.broken
	b.mu.Lock()
	if link > b.link {
		b.link, b.reason = link, reason
	}
	b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// supervise restarts the embedded server in place when it is broken: each of its
// lives once.
func (e *Engine) supervise() {
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.broken.more:
			n, reason := e.broken.take()
			if l := e.link.Load(); l != nil && l.n == n && !e.closed() {
				e.restart(l, reason)
			}
		}
	}
}

// restart closes the link and makes a new one, until that works.
func (e *Engine) restart(l *link, reason string) {
	e.log.Error("the log is restarted", "reason", reason)
	err := errors.New(reason)
	e.failed.Store(&err)
	e.why.Store(e.restarting())
	e.link.Store(nil)
	e.stats.restarts.Add(1) // who reads it finds the engine not ready, or back
	l.fail(errLost)
	l.close()
	e.audits.back(e.pipe.reset())
	e.barrier.reopen.Store(true)
	for e.ctx.Err() == nil {
		e.watchSpace()
		e.why.Store(e.restarting())
		if !e.low.Load() {
			err := e.up(e.ctx)
			if err == nil {
				e.log.Info("the log is back")
				e.wantAudit(false)
				return
			}
			e.log.Warn("the log does not start", "err", err)
		}
		e.pause(500 * time.Millisecond)
	}
}

// restarting is what an append is told meanwhile.
func (e *Engine) restarting() *earshot.Error {
	const few = 1 << 20
	if total, free, err := space(e.config.Dir); err == nil && (free < few || e.low.Load() || free < total/100) {
		return &earshot.Error{Code: earshot.Full, Text: "storage is full", RetryAfter: 10 * time.Second}
	}
	return &earshot.Error{Code: earshot.Unavailable, Text: "the log is recovering", RetryAfter: time.Second}
}

// pause waits for d, or until the engine ends.
func (e *Engine) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.ctx.Done():
	}
}

// last asks the stream for its newest sequence.
func (e *Engine) last(ctx context.Context) (uint64, error) {
	l, err := e.linked()
	if err != nil {
		return 0, err
	}
	info, err := l.log.Info(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	return info.State.LastSeq, nil
}

// unavailable is a log that does not answer.
func unavailable(err error) error {
	var known *earshot.Error
	if errors.As(err, &known) {
		return err
	}
	return &earshot.Error{Code: earshot.Unavailable, Text: "the log does not answer", Err: err, RetryAfter: time.Second}
}
