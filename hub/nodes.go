package hub

import (
	"slices"
	"sync"
	"time"
)

// The times of the nodes.
const (
	// beatEvery is how often a node says that it lives, and checks on the others.
	beatEvery = 2 * time.Second
	// silence is after how long without a word a node counts as dead.
	silence = 7 * time.Second
	// checkEvery is how often that is looked at.
	checkEvery = time.Second
	// meeting is how long after its start a node may not know all others yet.
	meeting = 300 * time.Millisecond
	// remember is how long a node is known to have been here.
	remember = 10 * time.Minute
)

// A beat says that a node lives, and what of its part of the roster was told.
type beat struct {
	Seq    uint64 `cbor:"1,keyasint,omitempty"`
	Digest uint64 `cbor:"2,keyasint,omitempty"`
	// Hello asks the others for a beat at once.
	Hello bool `cbor:"3,keyasint,omitempty"`
}

// nodes are those that share the bus with this one, as it knows them.
type nodes struct {
	hub   *Hub
	name  string
	alone bool // no other node can be there
	begun time.Time
	wake  chan struct{} // there is something to tell

	mu      sync.Mutex
	peers   map[string]*peer
	left    map[string]time.Time // when a node said goodbye
	mourned map[string]time.Time // whose members' end this node recorded
	checked time.Time
	greet   bool // somebody asked for a beat
}

// start is called before the bus delivers anything.
func (n *nodes) start(h *Hub) {
	n.hub, n.name = h, h.engine.Node()
	s, ok := h.engine.(soloist)
	n.alone = ok && s.Alone()
	n.begun = time.Now()
	n.wake = make(chan struct{}, 1)
	n.peers, n.left, n.mourned = map[string]*peer{}, map[string]time.Time{}, map[string]time.Time{}
	n.checked = n.begun
}

// Nodes returns the names of the nodes that live, as far as this one knows, in
// order and with its own.
func (h *Hub) Nodes() []string {
	names := append(h.nodes.others(), h.nodes.name)
	slices.Sort(names)
	return names
}

// Node is the name of this node: another one after each start.
func (h *Hub) Node() string { return h.nodes.name }

// others names the other nodes that live.
func (n *nodes) others() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := make([]string, 0, len(n.peers)+1)
	for name, p := range n.peers {
		if !p.over {
			names = append(names, name)
		}
	}
	return names
}

// met reports whether the node has had the time to hear from all others.
func (n *nodes) met() bool { return n.alone || time.Since(n.begun) >= meeting }

// lowest reports whether of the nodes that live this one's name is the lowest.
func (n *nodes) lowest() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, p := range n.peers {
		if !p.over && name < n.name {
			return false
		}
	}
	return true
}

// keep is the goroutine that tells the others what is new here, and notices
// those that fall silent.
func (n *nodes) keep() {
	n.sayBeat(true)
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	said := time.Now()
	for {
		select {
		case <-n.hub.ctx.Done():
			return
		case <-n.wake:
			n.tellChanges()
			if n.asked() {
				n.sayBeat(false)
			}
		case <-ticker.C:
			now := time.Now()
			if now.Sub(said) >= beatEvery-checkEvery/2 {
				said = now
				n.sayBeat(false)
			}
			n.check(now)
		}
	}
}

// signal lets keep tell what is new.
func (n *nodes) signal() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *nodes) asked() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	asked := n.greet
	n.greet = false
	return asked
}

// sayBeat tells what changed here, and then that this is all. What gets lost is
// noticed with a later beat.
func (n *nodes) sayBeat(hello bool) {
	seq, digest := n.tellChanges()
	_ = n.hub.tell("", &control{Beat: &beat{Seq: seq, Digest: digest, Hello: hello}})
}

// tellChanges tells what changed in this node's part of the roster, and returns
// the number and the digest that it has come to.
func (n *nodes) tellChanges() (seq, digest uint64) {
	changes, seq, digest := n.hub.roster.own.take()
	after := seq - uint64(len(changes))
	for part := range batches(changes) {
		_ = n.hub.tell("", &control{Delta: &delta{After: after, Changes: part}})
		after += uint64(len(part))
	}
	return seq, digest
}

// bye tells the others that this node has stopped.
func (n *nodes) bye() {
	if n.name != "" {
		n.tellChanges()
		_ = n.hub.tell("", &control{Bye: true})
	}
}

// check buries the nodes that were silent for too long. While this process
// itself stood still, nobody was silent.
func (n *nodes) check(now time.Time) {
	n.mu.Lock()
	stood := now.Sub(n.checked) - 2*checkEvery
	n.checked = now
	var dead []*peer
	for _, p := range n.peers {
		if p.over {
			continue
		}
		if stood > 0 {
			p.heard = p.heard.Add(stood)
		}
		if now.Sub(p.heard) >= silence {
			dead = append(dead, p)
		}
	}
	forget(n.left, now)
	forget(n.mourned, now)
	n.mu.Unlock()
	for _, p := range dead {
		n.hub.log.Warn("a node is not heard of any more", "node", p.name)
	}
	n.bury(dead...)
}

func forget(names map[string]time.Time, now time.Time) {
	for name, at := range names {
		if now.Sub(at) > remember {
			delete(names, name)
		}
	}
}

// bury takes nodes out, with all that they told. Until that is done, nothing is
// heard of them.
func (n *nodes) bury(dead ...*peer) {
	n.mu.Lock()
	dead = slices.DeleteFunc(dead, func(p *peer) bool { return p.over })
	for _, p := range dead {
		p.over = true
	}
	n.mu.Unlock()
	heir := n.lowest()
	for _, p := range dead {
		if heir {
			n.mourn(p.name)
		}
		n.hub.asks.lost(p.name)
		n.hub.spawn(func() {
			p.end(heir)
			n.mu.Lock()
			defer n.mu.Unlock()
			delete(n.peers, p.name)
		})
	}
}

// mourn makes a note that this node records what the end of another means.
func (n *nodes) mourn(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mourned[name] = time.Now()
}

// peer returns a node that was just heard of; nil if it had said goodbye, or is
// being taken out.
func (n *nodes) peer(name string) *peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.left[name]; ok {
		return nil
	}
	p := n.peers[name]
	if p == nil {
		_, back := n.mourned[name]
		delete(n.mourned, name)
		p = &peer{name: name, roster: &n.hub.roster, records: map[recordKey]record{}, back: back}
		n.peers[name] = p
	}
	if p.over {
		return nil
	}
	p.heard = time.Now()
	return p
}

// told takes what another node tells.
func (n *nodes) told(c *control) {
	if c.Bye {
		n.farewell(c.From)
		return
	}
	p := n.peer(c.From)
	if p == nil {
		return
	}
	if c.Beat != nil {
		n.heardBeat(p, c.Beat)
	}
	if c.Delta != nil {
		n.ask(p, p.heardDelta(c.Delta))
	}
	if c.Ask != 0 {
		n.answerAsk(p.name, c.Ask)
	}
	if c.Snapshot != nil {
		n.ask(p, p.heardSnapshot(c.Snapshot))
	}
	if c.Question != nil {
		n.hub.questioned(p.name, c.Question)
	}
	if c.Answer != nil {
		n.hub.asks.answered(p.name, c.Answer)
	}
}

func (n *nodes) heardBeat(p *peer, b *beat) {
	if b.Hello {
		n.mu.Lock()
		n.greet = true
		n.mu.Unlock()
		n.signal()
	}
	n.ask(p, p.heardBeat(b))
}

// ask asks a node for a snapshot of its part; 0 is not to.
func (n *nodes) ask(p *peer, number uint64) {
	if number != 0 {
		_ = n.hub.tell(p.name, &control{Ask: number})
	}
}

// farewell takes the goodbye of a node: what comes from it later was on its way.
func (n *nodes) farewell(name string) {
	n.mu.Lock()
	p := n.peers[name]
	n.left[name] = time.Now()
	n.mu.Unlock()
	if p != nil {
		n.bury(p)
	}
}

// answerAsk tells a node all of this node's part, on a goroutine of its own.
func (n *nodes) answerAsk(to string, number uint64) {
	n.hub.spawn(func() {
		all, seq := n.hub.roster.own.all()
		parts := slices.Collect(batches(all))
		if len(parts) == 0 {
			parts = append(parts, nil)
		}
		for i, part := range parts {
			s := &snapshot{Number: number, Seq: seq, Part: i, Parts: len(parts), Changes: part}
			if n.hub.tell(to, &control{Snapshot: s}) != nil {
				return // it asks again
			}
		}
	})
}
