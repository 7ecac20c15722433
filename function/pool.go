package function

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/earshot-io/earshot"
)

// Processes that end before they ask for an event are started again after
// backoff, and twice as long each time, up to maxBackoff.
const (
	backoff    = 100 * time.Millisecond
	maxBackoff = 30 * time.Second
)

// A pool runs one function: its calls, and the copies of its process.
type pool struct {
	host   *Host
	app    string
	gate   *earshot.Gateway
	fn     *earshot.GatewayFunction
	arn    string
	log    *slog.Logger
	lines  *rate.Limiter // of what the copies print
	time   time.Duration
	copies int
	binary []string // the command, made ready
	dir    string

	mu      sync.Mutex
	waiting []*call // for which somebody waits; they go first
	later   []*call // for which nobody does
	idle    []*instance
	all     map[*instance]bool
	// starting is how many have not asked for an event yet.
	starting int
	failures int // processes in a row that never asked
	retry    time.Time
	why      *Error // of the last of them
	closing  bool
	changed  chan struct{} // closed, and made anew, when a call or a copy ends while closing
	running  sync.WaitGroup
}

func newPool(h *Host, a *earshot.App, g *earshot.Gateway, f *earshot.GatewayFunction) *pool {
	p := &pool{
		host: h, app: a.Slug, gate: g, fn: f, arn: arn(g, f.Name), time: defaultTimeout, copies: max(or(f.Copies, defaultCopies), 1),
		log: h.config.Log.With("app", a.Slug, "function", f.Name), lines: rate.NewLimiter(linesPerSecond, linesAtOnce),
		all: map[*instance]bool{}, changed: make(chan struct{}),
	}
	if f.TimeoutSeconds > 0 {
		p.time = time.Duration(f.TimeoutSeconds) * time.Second
	}
	return p
}

// put has a call run as soon as a copy is free for it.
func (p *pool) put(c *call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := &p.waiting
	if c.alone {
		list = &p.later
	}
	switch {
	case p.closing:
		return errStopped()
	case len(p.idle) > 0:
		i := p.idle[len(p.idle)-1] // the last, so that what is not needed becomes old
		p.idle = p.idle[:len(p.idle)-1]
		p.give(i, c)
		return nil
	case len(p.all) == 0 && time.Now().Before(p.retry) && c.alone:
		p.endLocked(c, Answer{}, p.why)
		return nil
	case len(p.all) == 0 && time.Now().Before(p.retry):
		return p.why
	case len(*list)-p.starting >= p.host.config.Waiting: // those that start will take theirs
		p.host.count.refused.Add(1)
		return errBusy(p.fn.Name)
	}
	*list = append(*list, c)
	p.grow()
	return nil
}

// grow starts copies for calls that wait. The caller holds the lock.
func (p *pool) grow() {
	for p.starting < len(p.waiting)+len(p.later) && len(p.all) < p.copies && !p.closing && !time.Now().Before(p.retry) {
		p.start()
	}
}

// warm starts the first copy ahead of the first call.
func (p *pool) warm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start()
}

func (p *pool) start() {
	i := newInstance(p)
	p.all[i] = true
	p.starting++
	p.host.count.started.Add(1)
	p.running.Go(i.run)
}

// give hands a call to a copy, whose clock runs from now. The caller holds the lock.
func (p *pool) give(i *instance, c *call) {
	i.current, c.begun = c, time.Now()
	c.timer = time.AfterFunc(p.time, func() { p.overdue(i, c) })
	i.deliver <- c // has room: the copy has no other
}

// overdue ends a call that took too long, and its process.
func (p *pool) overdue(i *instance, c *call) {
	if p.end(c, Answer{Log: i.out.log(c, p.time)}, timedOut(c.id, p.time)) {
		p.log.Warn("the function took too long, its process is killed", "request", c.id, "after", p.time)
		i.kill()
	}
}

// end gives a call its end, the first that it gets; it reports whether this was it.
func (p *pool) end(c *call, a Answer, failure *Error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endLocked(c, a, failure)
}

func (p *pool) endLocked(c *call, a Answer, failure *Error) bool {
	if c.ended {
		return false
	}
	c.ended, c.answer = true, a
	p.host.count.ended(failure)
	if failure != nil {
		c.err = failure
		if c.alone {
			p.log.Warn("an event was not handled", "request", c.id, "type", failure.Type)
		}
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	close(c.done)
	p.tellChange()
	return true
}

// withdraw takes back a call that no copy has yet; false if one has.
func (p *pool) withdraw(c *call) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(p.waiting, c)
	if at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	return at >= 0
}

// ask is a copy that wants an event. It gets one in i.deliver, now or later; ok
// is false if it has one that it has not answered.
func (p *pool) ask(i *instance) (ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.current != nil && !i.current.ended || slices.Contains(p.idle, i) {
		return false
	}
	i.current = nil
	if !i.asked {
		i.asked = true
		p.starting--
		p.failures, p.retry, p.why = 0, time.Time{}, nil
	}
	if c := p.first(); c != nil {
		p.give(i, c)
	} else {
		p.idle = append(p.idle, i)
	}
	return true
}

// first takes the call whose turn it is.
func (p *pool) first() *call {
	for _, list := range []*[]*call{&p.waiting, &p.later} {
		if len(*list) > 0 {
			c := (*list)[0]
			*list = (*list)[1:]
			return c
		}
	}
	return nil
}

// leave takes a copy that does not wait for an event any more out of those that
// do. A call that it was given meanwhile, and never saw, has its turn again.
func (p *pool) leave(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := slices.Index(p.idle, i); at >= 0 {
		p.idle = slices.Delete(p.idle, at, at+1)
		return
	}
	select {
	case c := <-i.deliver:
		p.giveBack(i, c)
	default:
	}
}

// retire ends a copy that had nothing to do for long.
func (p *pool) retire(i *instance) {
	p.leave(i)
	i.kill()
}

// takeBack is leave for a copy that went away when it was about to get its call.
func (p *pool) takeBack(i *instance, c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveBack(i, c)
}

func (p *pool) giveBack(i *instance, c *call) {
	i.current = nil
	if c.ended {
		return
	}
	c.timer.Stop()
	if c.alone {
		p.later = slices.Insert(p.later, 0, c)
	} else {
		p.waiting = slices.Insert(p.waiting, 0, c)
	}
	p.grow()
}

// currentOf returns the call of that id if a copy works on it.
func (p *pool) currentOf(i *instance, id string) *call {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.current == nil || i.current.id != id || i.current.ended {
		return nil
	}
	return i.current
}

// gone takes a copy out whose process has ended, and why.
func (p *pool) gone(i *instance, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, i)
	if at := slices.Index(p.idle, i); at >= 0 {
		p.idle = slices.Delete(p.idle, at, at+1)
	}
	if c := i.current; c != nil {
		p.endLocked(c, Answer{Log: i.out.log(c, time.Since(c.begun))}, exited(c.id, why))
	}
	switch {
	case !i.asked:
		p.starting--
		p.neverAsked(i, why)
	case !i.wasKilled() && !p.closing:
		p.log.Warn("the function's process ended by itself", "how", strings.TrimPrefix(reasonOf(why), " "))
	}
	p.grow()
	p.tellChange()
}

// neverAsked waits longer before the next start, and if no copy is left, all
// that wait hear why.
func (p *pool) neverAsked(i *instance, why error) {
	if p.closing {
		return
	}
	p.failures++
	wait := min(backoff<<min(p.failures-1, 16), maxBackoff)
	p.retry = time.Now().Add(wait)
	p.why = i.failure
	if p.why == nil {
		p.why = exited(i.id, why)
	}
	p.log.Warn("the function's process ended before it asked for an event", "err", reasonOf(why), "type", p.why.Type, "failures", p.failures, "again", wait)
	if len(p.all) > 0 {
		return
	}
	for c := p.first(); c != nil; c = p.first() {
		p.endLocked(c, Answer{}, p.why)
	}
}

func (p *pool) tellChange() {
	if p.closing {
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// close lets calls end until ctx does, then ends the processes, and waits.
func (p *pool) close(ctx context.Context) {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	for {
		changed, busy := p.busy()
		if !busy {
			break
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
		}
		break
	}
	p.stopAll()
	p.running.Wait()
}

// busy reports whether a call has no end yet; changed is closed when one gets it.
func (p *pool) busy() (changed chan struct{}, busy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	busy = len(p.all) > 0 && len(p.waiting)+len(p.later) > 0
	for i := range p.all {
		busy = busy || i.current != nil && !i.current.ended
	}
	return p.changed, busy
}

// stopAll ends the processes, and what waits for one.
func (p *pool) stopAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if lost := len(p.later); lost > 0 {
		p.log.Warn("events are lost, since the server stops", "events", lost)
	}
	for c := p.first(); c != nil; c = p.first() {
		c.ended, c.err = true, errStopped()
		close(c.done)
	}
	for i := range p.all {
		p.running.Go(i.stop)
	}
}
