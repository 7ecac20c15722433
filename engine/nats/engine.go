package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// An Engine is one node's part of the log and the bus. It implements
// hub.Engine and auth.Spender. Its methods may be called concurrently.
type Engine struct {
	config Config
	log    *slog.Logger
	codec  *codec
	node   string // names this node to itself, at random
	lock   *os.File

	// link is the connection; nil while the embedded server is restarted, and
	// then why says what an append is told.
	link  atomic.Pointer[link]
	why   atomic.Pointer[earshot.Error]
	links atomic.Uint64 // generations of link
	sink  atomic.Pointer[hub.Sink]

	epoch  atomic.Uint32
	newest atomic.Uint64 // newest sequence that is known to be stored
	low    atomic.Bool   // there is little space left
	failed atomic.Pointer[error]

	life     lifeKeeper
	timeline timeline
	ledger   ledger
	depths   depths
	trims    trims
	barrier  barrier
	pipe     pipeline
	audits   audits
	heard    heard
	room     room
	shown    shown
	turns    turns
	stats    counters

	slots  chan struct{} // one for each append under way
	gate   sync.Mutex    // held while the clock is waited for
	broken breakage
	audit  chan bool // true: interest has to be proven first

	closing   chan struct{} // closed when Close begins: nothing new is accepted
	closeOnce sync.Once
	ctx       context.Context // ends when nothing is under way any more
	cancel    context.CancelFunc
	running   sync.WaitGroup
}

var _ hub.Engine = (*Engine)(nil)

// Open opens the log: it starts the embedded server and waits until it has
// recovered what is stored, or connects to the external one. The context
// bounds that.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Engine, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		config: c, log: log, node: nuid.Next(), slots: make(chan struct{}, c.MaxInFlight),
		audit: make(chan bool, 1), closing: make(chan struct{}),
	}
	if e.codec, err = newCodec(); err != nil {
		return nil, err
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.prepare()
	if err := e.open(ctx); err != nil {
		e.cancel()
		e.running.Wait()
		e.release()
		return nil, err
	}
	return e, nil
}

// prepare makes the parts that need no server.
func (e *Engine) prepare() {
	e.barrier.wake = make(chan struct{}, 1)
	e.broken.more = make(chan struct{}, 1)
	e.pipe.init()
	e.ledger.init(e.config)
	e.trims.init()
	e.heard.init()
	e.why.Store(earshot.Errorf(earshot.Unavailable, "the log is starting"))
}

func (e *Engine) open(ctx context.Context) error {
	if e.config.embedded() {
		if err := e.openDir(); err != nil {
			return err
		}
	}
	e.running.Go(e.runBarrier)
	e.running.Go(e.runPipeline)
	e.running.Go(e.runLedger)
	if err := e.upAtLast(ctx); err != nil {
		return err
	}
	e.running.Go(e.supervise)
	e.running.Go(e.runDeadlines)
	e.running.Go(e.runAudit)
	e.running.Go(e.runTrims)
	e.sayPromise()
	return nil
}

// openDir takes the data directory and finds out how to sync it.
func (e *Engine) openDir() error {
	if err := os.MkdirAll(e.config.Dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	var err error
	if e.lock, err = lockDir(e.config.Dir); err != nil {
		return err
	}
	d, ok, err := openDisk(e.config.Dir)
	if err != nil {
		return err
	}
	if ok {
		e.barrier.group, e.barrier.disk = true, d
	}
	return nil
}

// sayPromise logs what an acknowledgement is worth here.
func (e *Engine) sayPromise() {
	l := e.link.Load()
	switch {
	case e.config.unsafe:
		e.log.Warn("acknowledged messages are not on disk")
	case e.barrier.on():
		e.log.Info("an acknowledged message is on this machine's disk", "by", "group commit")
	case e.config.embedded():
		e.log.Warn("an acknowledged message is on this machine's disk, but syncing is slow: group commit is trusted on ext4 and Linux only", "by", "a sync of each message")
	case l != nil && l.replicas > 1:
		e.log.Info("an acknowledged message is stored by a majority of the NATS servers; it is on their disks if they run with sync_interval: always")
	default:
		e.log.Info("an acknowledged message is stored by one NATS server; it is on its disk if that runs with sync_interval: always")
	}
}

// Start begins deliveries to s; see hub.Bus.
func (e *Engine) Start(ctx context.Context, s hub.Sink) (earshot.Position, error) {
	if err := e.refusal(); err != nil {
		return earshot.Position{}, err
	}
	if !e.sink.CompareAndSwap(nil, &s) {
		return earshot.Position{}, earshot.Errorf(earshot.Internal, "the engine was started before")
	}
	at, err := e.last(ctx)
	if err != nil {
		return earshot.Position{}, err
	}
	e.raise(at)
	return e.position(at), nil
}

func (e *Engine) position(seq uint64) earshot.Position {
	return earshot.Position{Epoch: uint16(e.epoch.Load()), Seq: seq}
}

// raise makes a note that seq is stored.
func (e *Engine) raise(seq uint64) {
	for {
		old := e.newest.Load()
		if seq <= old || e.newest.CompareAndSwap(old, seq) {
			return
		}
	}
}

// refusal is why nothing can be done now; nil if it can.
func (e *Engine) refusal() error {
	select {
	case <-e.closing:
		return earshot.Errorf(earshot.Shutdown, "the server is stopping")
	default:
	}
	if e.link.Load() == nil {
		return e.why.Load()
	}
	return nil
}

// linked returns the connection, or why there is none.
func (e *Engine) linked() (*link, error) {
	if err := e.refusal(); err != nil {
		return nil, err
	}
	if l := e.link.Load(); l != nil {
		return l, nil
	}
	return nil, e.why.Load()
}

// Ready reports whether messages can be stored and heard, and if not, why.
func (e *Engine) Ready() (ok bool, reason string) {
	l, err := e.linked()
	switch {
	case err != nil:
		return false, earshot.AsError(err).Text
	case !l.conn.IsConnected():
		return false, "the log is not connected"
	}
	return true, ""
}

// Err returns what last made the embedded server restart, nil if nothing did
// or it has recovered since.
func (e *Engine) Err() error {
	if err := e.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// closeGrace is how much longer than the deadline of a publish Close waits for
// the outcome of appends.
const closeGrace = 2 * time.Second

// Close ends deliveries and lets go of everything; see hub.Bus.
func (e *Engine) Close(ctx context.Context) error {
	var err error
	e.closeOnce.Do(func() {
		close(e.closing)
		e.settle(ctx)
		if l := e.link.Load(); l != nil && e.config.embedded() {
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.config.Deadline+closeGrace)
			defer cancel()
			err = e.endLife(clean, l)
		}
		e.cancel()
		if l := e.link.Swap(nil); l != nil {
			l.fail(errStopped)
			l.close()
		}
		e.running.Wait()
		e.release()
	})
	return err
}

var errStopped = errors.New("the server stopped")

// settle waits until the appends under way have their outcome.
func (e *Engine) settle(ctx context.Context) {
	timer := time.NewTimer(e.config.Deadline + closeGrace)
	defer timer.Stop()
	for range cap(e.slots) {
		select {
		case e.slots <- struct{}{}:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// release lets go of the data directory.
func (e *Engine) release() {
	if e.barrier.disk != nil {
		e.barrier.disk.close()
	}
	if e.lock != nil {
		_ = e.lock.Close()
	}
}
