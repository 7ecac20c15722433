package nats

import (
	"strconv"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// maxOut is how many deliveries may wait for the sink; more wait on the
// connection, are dropped there, noticed, and read from the log.
const maxOut = 64 << 10

// A pipeline brings messages to the sink in the order in which they came. A
// logged one is held until a barrier that began after it has ended.
type pipeline struct {
	more chan struct{} // something is in out

	mu    sync.Mutex
	room  sync.Cond // out has room
	ended bool
	held  []hub.Delivery
	// heldOn counts what is held of a channel: what comes behind has to wait too.
	heldOn map[channelName]int
	base   uint64 // how many were ever released before held
	out    []hub.Delivery
}

type channelName struct{ app, channel string }

func (p *pipeline) init() {
	p.more = make(chan struct{}, 1)
	p.room.L = &p.mu
	p.heldOn = map[channelName]int{}
}

// put takes a delivery; hold says that it waits for the disk. It waits while
// the sink is behind, and reports whether a barrier is needed.
func (p *pipeline) put(d hub.Delivery, hold bool) (held bool) {
	name := channelName{d.Message.App, d.Message.Channel}
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.out) >= maxOut && !p.ended {
		p.room.Wait()
	}
	if hold || p.heldOn[name] > 0 {
		p.held = append(p.held, d)
		p.heldOn[name]++
		return true
	}
	p.out = append(p.out, d)
	p.signal()
	return false
}

func (p *pipeline) signal() {
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// mark names what is held now, for release.
func (p *pipeline) mark() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.base + uint64(len(p.held))
}

// release lets go what was held at the mark.
func (p *pipeline) release(mark uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if mark <= p.base {
		return
	}
	n := min(int(mark-p.base), len(p.held))
	for _, d := range p.held[:n] {
		name := channelName{d.Message.App, d.Message.Channel}
		if p.heldOn[name]--; p.heldOn[name] == 0 {
			delete(p.heldOn, name)
		}
	}
	p.out = append(p.out, p.held[:n]...)
	p.base += uint64(n)
	if rest := p.held[n:]; len(rest) == 0 {
		p.held = p.held[:0]
	} else {
		p.held = append(p.held[:0:0], rest...)
	}
	p.signal()
}

// reset drops what is held, and returns its lowest sequence; 0 if nothing was.
func (p *pipeline) reset() (lowest uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.held {
		if seq := d.Message.ID.Position().Seq; lowest == 0 || seq < lowest {
			lowest = seq
		}
	}
	p.base += uint64(len(p.held))
	p.held = nil
	clear(p.heldOn)
	return lowest
}

// take returns what is to be delivered; spare is reused.
func (p *pipeline) take(spare []hub.Delivery) []hub.Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.out
	p.out = spare[:0]
	p.room.Broadcast()
	return out
}

func (p *pipeline) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.room.Broadcast()
}

// runPipeline is the goroutine that delivers.
func (e *Engine) runPipeline() {
	defer e.pipe.end()
	var spare []hub.Delivery
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.pipe.more:
		}
		ds := e.pipe.take(spare)
		if sink := e.sink.Load(); sink != nil && len(ds) > 0 {
			(*sink).Deliver(ds)
			e.stats.delivered.Add(uint64(len(ds)))
		}
		clear(ds)
		spare = ds
	}
}

// A stored message is one as the log has it.
type stored struct {
	seq     uint64
	stamp   time.Time
	subject string
	data    []byte
	// pending is how many newer ones the subject has, if the answer said so.
	pending uint64
}

// readStored reads what the server adds to a republished message or to the
// answer of a direct read; ok is false if that is not there.
func readStored(m *natsgo.Msg) (s stored, ok bool) {
	var err error
	if s.seq, err = strconv.ParseUint(header(m, headerSequence), 10, 64); err != nil || s.seq == 0 {
		return s, false
	}
	if s.stamp, err = time.Parse(time.RFC3339Nano, header(m, headerTime)); err != nil {
		return s, false
	}
	s.subject, s.data = header(m, headerSubject), m.Data
	s.pending, _ = strconv.ParseUint(header(m, headerPending), 10, 64)
	return s, true
}

func header(m *natsgo.Msg, name string) string {
	if v := m.Header[name]; len(v) > 0 {
		return v[len(v)-1] // the server adds its own at the end
	}
	return ""
}

// onStored takes a message that the log has republished.
func (e *Engine) onStored(m *natsgo.Msg) {
	s, ok := readStored(m)
	if !ok {
		e.stats.malformed.Add(1)
		return
	}
	prev, _ := strconv.ParseUint(header(m, headerLast), 10, 64)
	s.stamp = e.stamp(s.seq, s.stamp)
	e.raise(s.seq)
	e.keepTime(s)
	e.audits.saw(s.seq)
	if strings.HasPrefix(s.subject, spaceStored+"."+appProbe+".") {
		e.heard.back(m.Data)
		e.ledger.pass(s.seq)
		return
	}
	msg, v, err := e.message(s)
	if err != nil {
		e.stats.malformed.Add(1)
		e.ledger.pass(s.seq)
		return
	}
	e.depths.set(msg.App, msg.Channel, v.Depth)
	e.ledger.count(msg.App, msg.Channel, s.seq)
	e.deliver(hub.Delivery{Message: msg, Prev: prev}, v.Early)
}

// keepTime lets the message have its time; if the clock has stepped, the step
// is recorded first.
func (e *Engine) keepTime(s stored) {
	if need, ok := e.timeline.needs(s.seq, s.stamp); ok {
		if l := e.link.Load(); l != nil {
			ctx, cancel := contextFor(e.ctx, e.config.Deadline)
			err := e.record(ctx, l, need)
			cancel()
			if err != nil {
				e.log.Error("a step of the clock could not be recorded: ids may fall", "err", err)
			}
		}
	}
	e.timeline.saw(s.seq, s.stamp)
}

// deliver brings a logged message to the sink.
func (e *Engine) deliver(d hub.Delivery, early bool) {
	if e.pipe.put(d, e.barrier.on() && !early) {
		e.barrier.signal()
	}
}

// message decodes a stored message, and gives it its id.
func (e *Engine) message(s stored) (*earshot.Message, *envelope, error) {
	_, app, channel, ok := parseSubject(s.subject)
	if !ok {
		return nil, nil, errSubject
	}
	m, v, err := e.codec.open(s.data)
	if err != nil {
		return nil, nil, err
	}
	m.App, m.Channel = app, channel
	at := e.timeline.at(s.seq, s.stamp)
	m.ID = earshot.NewID(at, e.position(s.seq))
	m.Time = m.ID.Time()
	return m, v, nil
}

// onLive takes a live message of another node.
func (e *Engine) onLive(m *natsgo.Msg) {
	_, app, channel, ok := parseSubject(m.Subject)
	sink := e.sink.Load()
	if !ok || sink == nil {
		e.stats.malformed.Add(1)
		return
	}
	msg, _, err := e.codec.open(m.Data)
	if err != nil || msg.ID.IsZero() || !msg.ID.Position().IsZero() {
		e.stats.malformed.Add(1)
		return
	}
	msg.App, msg.Channel, msg.Time = app, channel, msg.ID.Time()
	(*sink).Deliver([]hub.Delivery{{Message: msg}})
}

// onControl takes a control message of another node.
func (e *Engine) onControl(m *natsgo.Msg) {
	if sink := e.sink.Load(); sink != nil && len(m.Data) > 1 && m.Data[0] == version {
		(*sink).Told(m.Data[1:])
	}
}

// Spread hands a live message to the other nodes; see hub.Bus.
func (e *Engine) Spread(m *earshot.Message) error {
	if e.config.embedded() {
		return nil // there are none
	}
	data, err := e.codec.seal(m, false, 0)
	if err != nil {
		return err
	}
	return e.shout(subject(spaceLive, m.App, m.Channel, e.config.Buckets), data)
}

// Node names this node; see hub.Bus.
func (e *Engine) Node() string { return e.node }

// Tell hands a control message to another node, or to all others; see hub.Bus.
func (e *Engine) Tell(to string, data []byte) error {
	switch {
	case len(data) > hub.MaxTell:
		return earshot.Errorf(earshot.TooLarge, "a control message of %d bytes", len(data))
	case e.config.embedded() || to == e.node:
		return nil // there are no others
	case to == "":
		return e.shout(subjectControl, append([]byte{version}, data...))
	}
	return e.shout(subjectControl+"."+string(appendLevel(nil, to)), append([]byte{version}, data...))
}

// shout publishes without an answer. The connection does not hear itself.
func (e *Engine) shout(subject string, data []byte) error {
	l, err := e.linked()
	if err != nil {
		return err
	}
	if err := l.conn.Publish(subject, data); err != nil {
		return unavailable(err)
	}
	return nil
}
