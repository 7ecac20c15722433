package hub

import (
	"context"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
)

const (
	// MaxAnswer bounds the answer of a call.
	MaxAnswer = 2 << 20
	// answerPart is how much of one goes into a control message.
	answerPart = MaxTell / 2
	// findTime bounds how long it takes to find the node of a connection, and
	// callTime how long a call may take.
	findTime = 2 * time.Second
	callTime = 30 * time.Second
	// maxServed is how many calls of other nodes run at once, and maxWaiting how
	// many that wait.
	maxServed  = 256
	maxWaiting = 16 << 10
)

// A Callee carries out calls of one kind on the node that holds the connection.
// It may be called concurrently, and with a connection that is closing. The
// context ends when the caller waits no more, as far as its node can know.
type Callee func(ctx context.Context, c *Conn, data []byte) ([]byte, error)

// Serve says who carries out calls of a kind.
func (h *Hub) Serve(kind string, f Callee) {
	h.asks.mu.Lock()
	defer h.asks.mu.Unlock()
	if h.asks.kinds == nil {
		h.asks.kinds = map[string]Callee{}
	}
	h.asks.kinds[kind] = f
}

// callee is who carries out calls of a kind, nil for nobody.
func (a *asks) callee(kind string) Callee {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kinds[kind]
}

// Call has a call carried out by the node that holds a connection, and returns
// what the Callee answered; code, reason and text of its error travel. Data may
// have half a megabyte, the answer two (MaxAnswer).
//
// It fails with NotFound if no node holds the connection, with Unavailable if
// within two seconds not all nodes could say so, and with Unknown if the call
// may have been carried out, but its answer was lost.
func (h *Hub) Call(ctx context.Context, id earshot.ConnID, kind string, data []byte) ([]byte, error) {
	if c := h.Conn(id); c != nil {
		return h.carryOut(ctx, c, kind, data)
	}
	if len(data) > MaxTell-1024 {
		return nil, earshot.Errorf(earshot.TooLarge, "a call of %d bytes", len(data))
	}
	others := h.nodes.others()
	if len(others) == 0 && h.nodes.met() {
		return nil, errNoConn
	}
	q := h.asks.begin(others)
	defer h.asks.end(q)
	left := callTime
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline))
	}
	c := control{Question: &question{Number: q.number, Conn: id, Kind: kind, Data: data, Left: left.Milliseconds()}}
	if err := h.tell("", &c); err != nil {
		return nil, err
	}
	return h.await(ctx, q)
}

var (
	errNoConn   = earshot.Errorf(earshot.NotFound, "there is no such connection")
	errNobody   = earshot.Errorf(earshot.Unavailable, "the node of the connection was not found in time")
	errNoAnswer = earshot.Errorf(earshot.Unknown, "the answer was lost: it is not known whether the call was carried out")
)

// carryOut carries out a call on a connection of this node.
func (h *Hub) carryOut(ctx context.Context, c *Conn, kind string, data []byte) (answer []byte, err error) {
	f := h.asks.callee(kind)
	if f == nil {
		return nil, earshot.Errorf(earshot.Invalid, "this node knows no such call")
	}
	defer func() {
		if p := recover(); p != nil {
			h.panicked("carrying out a call", p)
			answer, err = nil, earshot.Errorf(earshot.Internal, "internal error")
		}
	}()
	if answer, err = f(ctx, c, data); len(answer) > MaxAnswer {
		return nil, earshot.Errorf(earshot.TooLarge, "the answer has more than 2 MiB")
	}
	return answer, err
}

// A question goes to all other nodes: a call if it names a connection, else one
// of AskAll if it has a kind, else how many subscriptions a channel has.
type question struct {
	Number  uint64         `cbor:"1,keyasint"`
	Conn    earshot.ConnID `cbor:"2,keyasint"`
	Kind    string         `cbor:"3,keyasint,omitempty"`
	Data    []byte         `cbor:"4,keyasint,omitempty"`
	Left    int64          `cbor:"5,keyasint,omitempty"` // milliseconds
	App     string         `cbor:"6,keyasint,omitempty"`
	Channel string         `cbor:"7,keyasint,omitempty"`
	// Over says that who asked waits no more.
	Over bool `cbor:"9,keyasint,omitempty"`
}

// An answer is one node's. The node that holds the connection says first that it
// has taken the call, and then comes its answer in parts.
type answer struct {
	Number uint64 `cbor:"1,keyasint"`
	No     bool   `cbor:"2,keyasint,omitempty"`
	Taken  bool   `cbor:"3,keyasint,omitempty"`
	Fault  *fault `cbor:"4,keyasint,omitempty"`
	Part   int    `cbor:"5,keyasint,omitempty"`
	Parts  int    `cbor:"6,keyasint,omitempty"`
	Data   []byte `cbor:"7,keyasint,omitempty"`
	Count  int    `cbor:"8,keyasint,omitempty"`
}

// A fault is an error on its way.
type fault struct {
	Code       earshot.Code  `cbor:"1,keyasint"`
	Reason     string        `cbor:"2,keyasint,omitempty"`
	Text       string        `cbor:"3,keyasint,omitempty"`
	RetryAfter time.Duration `cbor:"4,keyasint,omitempty"`
}

func (f *fault) err() error {
	return &earshot.Error{Code: f.Code, Reason: f.Reason, Text: f.Text, RetryAfter: f.RetryAfter}
}

func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	e := earshot.AsError(err)
	return &fault{e.Code, e.Reason, e.Text, e.RetryAfter}
}

// questioned answers another node.
func (h *Hub) questioned(from string, q *question) {
	if q.Over {
		h.asks.giveUp(caller{from, q.Number})
		return
	}
	if q.Conn.IsZero() && q.Kind != "" {
		h.answerAll(from, q)
		return
	}
	if q.Conn.IsZero() {
		_ = h.tell(from, &control{Answer: &answer{Number: q.Number, Count: h.countHere(roomKey{q.App, q.Channel})}})
		return
	}
	c := h.Conn(q.Conn)
	if c == nil {
		_ = h.tell(from, &control{Answer: &answer{Number: q.Number, No: true}})
		return
	}
	places, waits := h.asks.places(q.Kind)
	select {
	case places <- struct{}{}:
	default:
		busy := earshot.Errorf(earshot.Limited, "too many calls at once")
		h.answer(from, q.Number, nil, busy)
		return
	}
	_ = h.tell(from, &control{Answer: &answer{Number: q.Number, Taken: true}})
	ctx, cancel := context.WithTimeout(h.ctx, min(time.Duration(q.Left)*time.Millisecond, callTime))
	end := cancel
	if waits {
		end = h.asks.run(caller{from, q.Number}, cancel)
	}
	began := h.spawn(func() {
		defer func() { <-places }()
		defer end()
		data, err := h.carryOut(ctx, c, q.Kind, q.Data)
		h.answer(from, q.Number, data, err)
	})
	if !began {
		end()
		<-places
	}
}

// answer tells what became of a call. What gets lost the caller does not wait
// for without end.
func (h *Hub) answer(to string, number uint64, data []byte, err error) {
	parts := max((len(data)+answerPart-1)/answerPart, 1)
	for i := range parts {
		a := answer{Number: number, Part: i, Parts: parts, Fault: faultOf(err)}
		a.Data = data[i*answerPart : min((i+1)*answerPart, len(data))]
		if h.tell(to, &control{Answer: &a}) != nil {
			return
		}
	}
}

// asks are the questions of this node that are open, and who answers those of
// others.
type asks struct {
	served  chan struct{} // held by calls of other nodes
	waiting chan struct{} // held by those of them that wait

	mu    sync.Mutex
	kinds map[string]Callee
	waits map[string]bool // kinds of calls that wait
	runs  map[caller]context.CancelFunc
	toAll map[string]Answerer
	next  uint64
	open  map[uint64]*ask
}

// An ask is a question that is open.
type ask struct {
	number uint64
	left   map[string]bool // nodes that have not answered; the asker's alone
	in     chan reply
}

// A reply is an answer, or that its node is gone.
type reply struct {
	answer
	node string
	gone bool
}

func (a *asks) begin(others []string) *ask {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	q := &ask{number: a.next, left: map[string]bool{}, in: make(chan reply, 64+4*len(others))}
	for _, name := range others {
		q.left[name] = true
	}
	if a.open == nil {
		a.open = map[uint64]*ask{}
	}
	a.open[q.number] = q
	return q
}

func (a *asks) end(q *ask) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, q.number)
}

// answered hands on an answer of another node.
func (a *asks) answered(node string, r *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.open[r.Number]; q != nil {
		q.put(reply{answer: *r, node: node})
	}
}

// lost tells all who ask that a node is gone.
func (a *asks) lost(node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.open {
		q.put(reply{node: node, gone: true})
	}
}

// put does not wait: there is room for all that one question is answered with.
func (q *ask) put(r reply) {
	select {
	case q.in <- r:
	default:
	}
}

// await waits for the answer to a call.
func (h *Hub) await(ctx context.Context, q *ask) ([]byte, error) {
	limit := time.NewTimer(findTime)
	defer limit.Stop()
	meet := time.NewTimer(max(meeting-time.Since(h.nodes.begun), 0))
	defer meet.Stop()
	w := waiting{left: q.left, parts: map[int][]byte{}}
	for {
		select {
		case r := <-q.in:
			if w.take(&r); r.Taken {
				limit.Reset(callTime)
			}
		case <-meet.C:
		case <-limit.C:
			return nil, w.over(nil)
		case <-ctx.Done():
			return nil, w.over(context.Cause(ctx))
		case <-h.ctx.Done():
			return nil, w.over(context.Cause(h.ctx))
		}
		switch {
		case w.err != nil:
			return nil, w.err
		case w.total > 0 && len(w.parts) == w.total:
			return w.answer(), nil
		case w.holder == "" && len(w.left) == 0 && h.nodes.met():
			return nil, errNoConn
		}
	}
}

// waiting is what has come of a call.
type waiting struct {
	left   map[string]bool // nodes that may hold the connection
	holder string          // the node that does, once it has said so
	parts  map[int][]byte
	total  int
	err    error
}

func (w *waiting) take(r *reply) {
	switch {
	case r.gone && r.node == w.holder:
		w.err = errNoAnswer
	case r.gone, r.No:
		delete(w.left, r.node)
	case r.Taken:
		w.holder = r.node
	case r.Fault != nil:
		w.err = r.Fault.err()
	case r.Parts > 0:
		w.holder, w.total = r.node, r.Parts
		w.parts[r.Part] = r.Data
	}
}

// over is the error of who does not wait any more.
func (w *waiting) over(cause error) error {
	e := *errNobody
	if w.holder != "" {
		e = *errNoAnswer
	}
	e.Err = cause
	return &e
}

func (w *waiting) answer() []byte {
	var all []byte
	for i := range w.total {
		all = append(all, w.parts[i]...)
	}
	return all
}
