package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
)

const (
	// atOnce is how many $disconnects of one API are delivered at once.
	atOnce = 32
	// maxTries is how often one is tried where nobody answers, and maxRaised where
	// the function fails; between two tries is a second, then twice as long each
	// time, up to maxPause.
	maxTries  = 12
	maxRaised = 3
	maxPause  = time.Minute
	// maxLate is how many bytes of messages of ended connections an app may have
	// waiting before its clients wait.
	maxLate = 64 << 20
	// grace is for how long a server that stops goes on delivering.
	grace = 5 * time.Second
	// storeTime bounds one write of a record.
	storeTime = 10 * time.Second
)

// A record is what must be known of an open connection to tell of its end when its
// node is gone. Code is 0 while it is open.
type record struct {
	App   string          `json:"app"`
	AppID int64           `json:"appId,omitzero"` // earshot.App.ID
	API   string          `json:"api"`
	Stage string          `json:"stage"`
	Conn  core.Connection `json:"conn"`

	Code   int    `json:"code,omitzero"`
	Reason string `json:"reason,omitzero"`
}

// An ending is a $disconnect to be delivered.
type ending struct {
	record
	key   hub.Key // of the record; nil if none is kept
	noted bool    // the record has code and reason
	tries int
	timer *time.Timer
	done  func() // is called when nothing is left to do; nil for nobody
}

// endings deliver $disconnects, at least once each (4.5): the record of a
// connection is there before its handshake is answered, and is removed when the
// integration has answered, or is given up. It also owns all goroutines of the
// protocol.
type endings struct {
	p       *Protocol
	records hub.Records     // nil: then nothing outlives the node
	ctx     context.Context //nolint:containedctx // it is that of the goroutines
	cancel  context.CancelFunc
	marking sync.Mutex // held by who writes the node's mark
	most    int        // how many of one app may wait before its clients do

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
	begun   int // dialogues whose end was not added
	marked  bool
	open    map[*ending]struct{} // all that are not done
	owed    map[string]int       // how many of them are of each app
	late    map[string]int       // the bytes of messages whose connection has ended, by app
	queues  map[string]*queue
	news    chan struct{} // one was done
}

// A queue are the endings of one API.
type queue struct {
	waiting []*ending
	running int
}

func newEndings(p *Protocol, most int) *endings {
	x := &endings{p: p, most: most, records: p.deps.Records, open: map[*ending]struct{}{}, owed: map[string]int{}, late: map[string]int{}, queues: map[string]*queue{}, news: make(chan struct{}, 1)}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	return x
}

// spawn runs f on a goroutine that close waits for; it reports false, and runs
// nothing, once everything has ended.
func (x *endings) spawn(f func()) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return false
	}
	x.running.Go(f)
	return true
}

// recordKind and markKind are the first levels of the keys: of {kind, node,
// connection}, and of {kind, node} for each node that has such records.
const (
	recordKind = "disconnect"
	markKind   = "disconnect-node"
)

// keep writes the record of a connection that is about to open, if somebody is to
// be told of its end.
func (x *endings) keep(ctx context.Context, s *session) error {
	route := s.at.Route(core.DisconnectRoute)
	if x.records == nil || route == nil || route.Integration == nil {
		return nil
	}
	if err := x.mark(ctx); err != nil {
		return err
	}
	s.kept = true // also if the outcome of the write is not known
	e := s.ending(0, "")
	return x.store(ctx, e)
}

// mark says that this node has records.
func (x *endings) mark(ctx context.Context) error {
	x.marking.Lock()
	defer x.marking.Unlock()
	if x.marked {
		return nil
	}
	err := x.writeMark(ctx)
	x.marked = err == nil
	return err
}

// markAgain says so again, if it was said: the mark has gone meanwhile. Where that
// fails it is called again.
func (x *endings) markAgain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	x.marking.Lock()
	defer x.marking.Unlock()
	if x.marked {
		_ = x.writeMark(ctx)
	}
}

func (x *endings) writeMark(ctx context.Context) error {
	node := x.p.deps.Hub.Node()
	_, err := x.records.Put(ctx, hub.Key{markKind, node}, []byte(node), hub.AnyRevision, 0)
	return err
}

func (x *endings) store(ctx context.Context, e *ending) error {
	r := e.record
	r.Conn.APIKey = "" // is found again by its id
	data, err := json.Marshal(&r)
	if err != nil {
		return err
	}
	_, err = x.records.Put(ctx, e.key, data, hub.AnyRevision, 0)
	return err
}

// ending is the $disconnect of the connection.
func (s *session) ending(code int, reason string) *ending {
	e := &ending{record: record{App: s.slug, AppID: s.appID, API: s.api, Stage: s.stage, Conn: *s.who, Code: code, Reason: reason}}
	if s.kept {
		e.key = hub.Key{recordKind, s.p.deps.Hub.Node(), s.who.ID}
	}
	return e
}

// begin counts a dialogue, of which end is told. It is called before there is a
// record of it, and reports false once everything has ended: whoever closes knows of
// every record that may still be written.
func (x *endings) begin() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return false
	}
	x.begun++
	return true
}

// end delivers the ending of a dialogue.
func (x *endings) end(e *ending) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.begun--
	x.enqueue(e)
}

// add delivers an ending in its turn. It does not block.
func (x *endings) add(e *ending) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.enqueue(e)
}

// enqueue is add with the lock held.
func (x *endings) enqueue(e *ending) {
	name := e.App + "/" + e.API
	if _, again := x.open[e]; !again {
		x.open[e] = struct{}{}
		x.owed[e.App]++
	}
	if x.closed {
		return
	}
	q := x.queues[name]
	if q == nil {
		q = &queue{}
		x.queues[name] = q
	}
	q.waiting = append(q.waiting, e)
	if q.running < atOnce {
		q.running++
		x.running.Go(func() { x.work(name, q) })
	}
}

// work delivers what waits in a queue.
func (x *endings) work(name string, q *queue) {
	for {
		x.mu.Lock()
		if len(q.waiting) == 0 || x.closed {
			if q.running--; q.running == 0 && len(q.waiting) == 0 {
				delete(x.queues, name)
			}
			x.mu.Unlock()
			return
		}
		e := q.waiting[0]
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		x.mu.Unlock()
		x.deliver(e)
	}
}

// deliver tries once.
func (x *endings) deliver(e *ending) {
	told, err := x.tell(e)
	switch {
	case told:
		x.p.counts.told.Add(1)
	case err != nil && x.ctx.Err() == nil && e.final(err):
		x.p.counts.givenUp.Add(1)
		x.p.deps.Log.Error("a $disconnect was given up", "app", e.App, "api", e.API, "tries", e.tries, "err", err)
	}
	if err == nil || x.ctx.Err() == nil && e.final(err) {
		x.finish(e)
		return
	}
	if x.ctx.Err() != nil {
		return // close makes a note of it
	}
	if e.key != nil && !e.noted {
		ctx, cancel := context.WithTimeout(x.ctx, storeTime)
		e.noted = x.store(ctx, e) == nil
		cancel()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.closed {
		e.timer = time.AfterFunc(min(time.Second<<min(e.tries-1, 10), maxPause), func() { x.add(e) })
	}
}

// app is the one that the connection was of, whatever it is called by now; nil if it
// is gone, be it that another one has its slug and an API of the same id.
func (e *ending) app(d *auth.Directory) *earshot.App {
	switch a, _ := d.ByGateway(e.API); {
	case a == nil || a.ID != e.AppID || a.ID == 0 && a.Slug != e.App:
		return nil
	default:
		return a
	}
}

// tell calls the integration. There is nothing to call if the app, the API, its
// stage or its route was removed: nobody is told then, and nothing is wrong.
func (x *endings) tell(e *ending) (told bool, err error) {
	app := e.app(x.p.deps.Apps)
	api := x.p.book.of(app).api(e.API)
	if api == nil {
		return false, nil
	}
	stage := api.Stage(e.Stage)
	if stage == nil {
		return false, nil
	}
	route := stage.Route(core.DisconnectRoute)
	if route == nil || route.Integration == nil {
		return false, nil
	}
	conn := e.Conn
	for i := range api.APIKeys {
		if api.APIKeys[i].ID == conn.APIKeyID && conn.APIKeyID != "" {
			conn.APIKey = api.APIKeys[i].Value
		}
	}
	e.tries++
	_, err = x.p.integrate(x.ctx, app, &core.Event{
		Type: core.Disconnect, Stage: stage, Route: route, Conn: &conn, RequestID: newID(), Time: time.Now(), Code: e.Code, Reason: e.Reason,
	})
	if err != nil {
		x.p.deps.Log.Warn("a $disconnect failed", "app", e.App, "api", e.API, "tries", e.tries, "err", err)
	}
	return err == nil, err
}

// final reports whether a failure is not worth another try: the integration was
// called and has answered something, or it was tried often enough.
func (e *ending) final(err error) bool {
	var f *core.Failure
	if errors.As(err, &f) {
		switch f.Kind {
		case core.Malformed:
			return true
		case core.Raised:
			return e.tries >= maxRaised
		}
	}
	return e.tries >= maxTries
}

// finish removes the record: there is nothing left to do.
func (x *endings) finish(e *ending) {
	if e.key != nil {
		ctx, cancel := context.WithTimeout(x.ctx, storeTime)
		err := x.records.Delete(ctx, e.key, hub.AnyRevision)
		cancel()
		if err != nil && earshot.CodeOf(err) != earshot.NotFound {
			x.p.deps.Log.Warn("the record of a connection could not be removed; its $disconnect will come again", "app", e.App, "err", err)
		}
	}
	x.mu.Lock()
	delete(x.open, e)
	if x.owed[e.App]--; x.owed[e.App] == 0 {
		delete(x.owed, e.App)
	}
	x.mu.Unlock()
	select {
	case x.news <- struct{}{}:
	default:
	}
	if e.done != nil {
		e.done()
	}
}

// behind reports whether so much of an app's connections that have ended is kept that
// there must not be more connections: ends that wait to be told, and messages that wait
// for their turn. No limit of connections counts them any more.
func (x *endings) behind(app string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.owed[app] >= x.most || x.late[app] >= maxLate
}

// linger counts messages that wait though their connection has ended, and n less than
// 0 those that do so no more.
func (x *endings) linger(app string, n int) {
	if n == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.late[app] += n; x.late[app] == 0 {
		delete(x.late, app)
	}
}

// settle waits until the node has no dialogues and no endings, for as long as a
// server that stops may wait.
func (x *endings) settle() {
	limit := time.NewTimer(grace)
	defer limit.Stop()
	for !x.settled() {
		select {
		case <-x.news:
		case <-limit.C:
			return
		}
	}
}

func (x *endings) settled() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.begun == 0 && len(x.open) == 0
}

// close ends everything. What was not delivered is left to another node, or to the
// next start, with how it ended.
func (x *endings) close() {
	x.settle()
	x.mu.Lock()
	x.closed = true
	for e := range x.open {
		if e.timer != nil {
			e.timer.Stop()
		}
	}
	x.mu.Unlock()
	x.cancel()
	x.running.Wait()
	if x.records == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	settled := x.settled()
	x.mu.Lock()
	left := make([]*ending, 0, len(x.open))
	for e := range x.open {
		left = append(left, e)
	}
	marked := x.marked
	x.mu.Unlock()
	for _, e := range left {
		if e.key != nil && !e.noted && x.store(ctx, e) != nil {
			break // it is told as one of a lost connection
		}
	}
	if settled && marked {
		_ = x.records.Delete(ctx, hub.Key{markKind, x.p.deps.Hub.Node()}, hub.AnyRevision) // else somebody looks in vain
	}
}
