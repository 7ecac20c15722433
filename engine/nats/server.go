package nats

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
)

// dial connects to the log. It is the only place where embedded and external
// differ in how.
func (e *Engine) dial(ctx context.Context, l *link) error {
	opts := []natsgo.Option{
		natsgo.Name("earshot"), natsgo.NoEcho(), natsgo.ReconnectBufSize(-1),
		natsgo.ErrorHandler(l.onError), natsgo.ClosedHandler(l.onClosed),
	}
	if e.config.embedded() {
		if err := e.startServer(l); err != nil {
			return err
		}
		var err error
		l.conn, err = natsgo.Connect("", append(opts, natsgo.InProcessServer(l.server), natsgo.NoReconnect())...)
		return err
	}
	opts = append(opts,
		natsgo.MaxReconnects(-1), natsgo.ReconnectWait(200*time.Millisecond), natsgo.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		natsgo.PingInterval(2*time.Second), natsgo.MaxPingsOutstanding(2), natsgo.Timeout(dialTimeout(ctx)),
		natsgo.DisconnectErrHandler(l.onDisconnect), natsgo.ReconnectHandler(l.onReconnect),
	)
	if e.config.Credentials != "" {
		opts = append(opts, natsgo.UserCredentials(e.config.Credentials))
	}
	if e.config.CA != "" {
		opts = append(opts, natsgo.RootCAs(e.config.CA))
	}
	var err error
	l.conn, err = natsgo.Connect(strings.Join(e.config.URLs, ","), opts...)
	return err
}

func dialTimeout(ctx context.Context) time.Duration {
	const most = 2 * time.Second
	if until, ok := ctx.Deadline(); ok {
		return max(min(time.Until(until), most), time.Millisecond)
	}
	return most
}

// startTime bounds how long the server may take until it answers, apart from
// recovering what is stored.
const startTime = 10 * time.Second

// startServer starts the embedded server, which recovers what is stored.
func (e *Engine) startServer(l *link) error {
	store, err := e.maxStore()
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "earshot", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: filepath.Join(e.config.Dir, "nats"), DisableJetStreamBanner: true,
		JetStreamMaxStore: store, JetStreamMaxMemory: e.config.MaxMemory,
		JetStreamLimits: server.JSLimitOpts{DefaultMaxConsumers: -1},
		SyncAlways:      !e.barrier.on() && !e.config.unsafe,
		MaxPayload:      maxEnvelope,
	})
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	s.SetLoggerV2(&bridge{log: e.log, broken: func(reason string) { e.breaks(l.n, reason) }}, false, false, false)
	l.server = s
	s.Start()
	if !s.ReadyForConnections(startTime) {
		return errors.New("embedded NATS does not answer")
	}
	if !s.JetStreamEnabled() {
		return errors.New("embedded NATS runs without JetStream: see the log for why")
	}
	return nil
}

// maxStore is the bound for the embedded server: at most 80 % of the filesystem.
func (e *Engine) maxStore() (int64, error) {
	total, _, err := space(e.config.Dir)
	if err != nil {
		return 0, fmt.Errorf("data directory: %w", err)
	}
	most := total / 10 * 8
	if e.config.MaxStore > 0 {
		most = min(most, e.config.MaxStore)
	}
	return most, nil
}

// maxLog is the bound for messages; -1 for none. What is recorded about them
// has room when they have none.
func (e *Engine) maxLog() (int64, error) {
	if !e.config.embedded() {
		return -1, nil
	}
	store, err := e.maxStore()
	return store - max(store/20, 1<<20) - e.maxEvents(store) - store/recordsShare, err
}

// recordsShare is the part of the embedded server's store that records have. It
// is bounded, and kept for them: with records that fill the store its state could
// not be written, and without it the engine does not start.
const recordsShare = 8

// maxRecords is the bound for records; -1 for none.
func (e *Engine) maxRecords() (int64, error) {
	if !e.config.embedded() {
		return -1, nil
	}
	store, err := e.maxStore()
	return store / recordsShare, err
}

// maxEvents is the outbox's share of a store.
func (e *Engine) maxEvents(store int64) int64 { return min(e.config.EventsBytes, store/8) }

// minFree is how much of the filesystem has to stay free.
func (e *Engine) minFree(total int64) int64 {
	if e.config.MinFree != 0 {
		return e.config.MinFree
	}
	return min(total/10, 1<<30)
}

// watchSpace looks how much is free.
func (e *Engine) watchSpace() {
	if !e.config.embedded() || e.config.MinFree < 0 {
		return
	}
	total, free, err := space(e.config.Dir)
	if err != nil {
		return
	}
	low := free < e.minFree(total)
	if e.low.Swap(low) == low {
		return
	}
	if low {
		e.log.Error("storage is full: nothing is stored until there is space", "free", free, "needed", e.minFree(total))
	} else {
		e.log.Info("there is space again", "free", free)
	}
}
