package nats

import (
	"strconv"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// A call waits for answers.
type call interface {
	// answer takes one and says whether more are to come. It must not block.
	answer(m *natsgo.Msg) (more bool)
	// fail tells that no answer will come.
	fail(err error)
}

// calls are the requests under way on a link. One subscription hears all
// answers, and one goroutine hands them on.
type calls struct {
	conn   *natsgo.Conn
	prefix string

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]call
	timed   []timedCall // in the order of their deadlines
	failed  error       // the link is over
}

type timedCall struct {
	n  uint64
	at time.Time
}

func (c *calls) open(conn *natsgo.Conn) error {
	c.conn, c.prefix = conn, natsgo.NewInbox()+"."
	c.waiting = map[uint64]call{}
	s, err := conn.Subscribe(c.prefix+"*", c.onAnswer)
	if err != nil {
		return err
	}
	// What comes is bounded by what was asked.
	return s.SetPendingLimits(-1, -1)
}

func (c *calls) onAnswer(m *natsgo.Msg) {
	n, err := strconv.ParseUint(m.Subject[len(c.prefix):], 36, 64)
	if err != nil {
		return
	}
	// While it is being answered it is not waiting, so that it is not told of the
	// link's end as well: a call ends once.
	asked := c.take(n)
	if asked == nil || !asked.answer(m) {
		return
	}
	c.mu.Lock()
	failed := c.failed
	if failed == nil {
		c.waiting[n] = asked
	}
	c.mu.Unlock()
	if failed != nil {
		asked.fail(failed)
	}
}

// begin registers a call; at is its deadline, zero if it has its own.
func (c *calls) begin(a call, at time.Time) (n uint64, reply string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return 0, "", c.failed
	}
	c.last++
	c.waiting[c.last] = a
	if !at.IsZero() {
		c.timed = append(c.timed, timedCall{c.last, at})
	}
	return c.last, c.prefix + strconv.FormatUint(c.last, 36), nil
}

// take ends a call; nil if it had ended before.
func (c *calls) take(n uint64) call {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.waiting[n]
	delete(c.waiting, n)
	return a
}

// expire fails the calls whose deadline has passed.
func (c *calls) expire(now time.Time, err error) {
	var over []call
	c.mu.Lock()
	i := 0
	for ; i < len(c.timed); i++ {
		t := c.timed[i]
		a, waits := c.waiting[t.n]
		if waits && now.Before(t.at) {
			break
		}
		if waits {
			delete(c.waiting, t.n)
			over = append(over, a)
		}
	}
	if c.timed = c.timed[i:]; len(c.timed) == 0 {
		c.timed = nil
	}
	c.mu.Unlock()
	for _, a := range over {
		a.fail(err)
	}
}

// fail fails all calls. While the connection lives, new ones may begin.
func (c *calls) fail(err error) {
	c.mu.Lock()
	over := make([]call, 0, len(c.waiting))
	for n, a := range c.waiting {
		over = append(over, a)
		delete(c.waiting, n)
	}
	if c.conn == nil || c.conn.IsClosed() {
		c.failed = err
	}
	c.mu.Unlock()
	for _, a := range over {
		a.fail(err)
	}
}
