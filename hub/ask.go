package hub

import (
	"context"
	"time"

	"github.com/earshot-io/earshot"
)

// An Answerer answers a question that is put to all nodes, on each of them. It
// may be called concurrently. The answer has a quarter of a megabyte at the most.
type Answerer func(ctx context.Context, data []byte) ([]byte, error)

// ServeAll says who answers questions of a kind that are put to all nodes.
func (h *Hub) ServeAll(kind string, f Answerer) {
	h.asks.mu.Lock()
	defer h.asks.mu.Unlock()
	if h.asks.toAll == nil {
		h.asks.toAll = map[string]Answerer{}
	}
	h.asks.toAll[kind] = f
}

// AskAll puts a question to every node, this one included, and returns what they
// answered, this one first. Missing counts the nodes that did not answer within
// half a second, or that could not. It fails when the context ends, and if this
// node itself cannot answer.
func (h *Hub) AskAll(ctx context.Context, kind string, data []byte) (answers [][]byte, missing int, err error) {
	own, err := h.answerOwn(ctx, kind, data)
	if err != nil {
		return nil, 0, err
	}
	answers = append(answers, own)
	others := h.nodes.others()
	if len(others) == 0 {
		return answers, 0, ctx.Err()
	}
	q := h.asks.begin(others)
	defer h.asks.end(q)
	ask := question{Number: q.number, Kind: kind, Data: data, Left: countTime.Milliseconds()}
	if h.tell("", &control{Question: &ask}) != nil {
		return answers, len(others), ctx.Err()
	}
	timer := time.NewTimer(countTime)
	defer timer.Stop()
	for len(q.left) > 0 {
		select {
		case r := <-q.in:
			if !q.left[r.node] {
				continue
			}
			delete(q.left, r.node)
			if r.gone || r.Fault != nil || r.Parts != 1 {
				missing++
				continue
			}
			answers = append(answers, r.Data)
		case <-timer.C:
			return answers, missing + len(q.left), nil
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		case <-h.ctx.Done():
			return answers, missing + len(q.left), nil
		}
	}
	return answers, missing, nil
}

// answerOwn is this node's answer to a question to all.
func (h *Hub) answerOwn(ctx context.Context, kind string, data []byte) (answer []byte, err error) {
	h.asks.mu.Lock()
	f := h.asks.toAll[kind]
	h.asks.mu.Unlock()
	if f == nil {
		return nil, earshot.Errorf(earshot.Invalid, "this node knows no such question")
	}
	defer func() {
		if p := recover(); p != nil {
			h.panicked("answering a question", p)
			answer, err = nil, earshot.Errorf(earshot.Internal, "internal error")
		}
	}()
	if answer, err = f(ctx, data); len(answer) > answerPart {
		return nil, earshot.Errorf(earshot.TooLarge, "the answer has more than 256 KiB")
	}
	return answer, err
}

// answerAll answers another node's question to all, on a goroutine of its own.
func (h *Hub) answerAll(from string, q *question) {
	select {
	case h.asks.served <- struct{}{}:
	default:
		h.answer(from, q.Number, nil, earshot.Errorf(earshot.Limited, "too many questions at once"))
		return
	}
	began := h.spawn(func() {
		defer func() { <-h.asks.served }()
		ctx, cancel := context.WithTimeout(h.ctx, min(time.Duration(q.Left)*time.Millisecond, callTime))
		defer cancel()
		data, err := h.answerOwn(ctx, q.Kind, q.Data)
		h.answer(from, q.Number, data, err)
	})
	if !began {
		<-h.asks.served
	}
}
