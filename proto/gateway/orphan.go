package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
)

const (
	// lookEvery is how often is looked whether nodes that have records live, and
	// deadAfter is at how many looks in a row one must be missing to be dead.
	lookEvery = time.Second
	deadAfter = 4
	// watchAgain is how long after a failure the marks are watched again.
	watchAgain = time.Second
	// page is how many records are read at once, and inherited how many $disconnects
	// of one node wait at once: so many that an app whose backend does not answer
	// holds up no other's.
	page      = 256
	inherited = 16 << 10
)

// Run delivers the $disconnects of nodes that died, until the context ends; then
// what this node has not delivered yet. It does nothing before there is an API.
func (p *Protocol) Run(ctx context.Context) {
	defer p.endings.close()
	if p.endings.records == nil {
		<-ctx.Done()
		return
	}
	for _, a := range p.deps.Apps.Apps() {
		p.book.of(a)
	}
	select {
	case <-p.book.used:
	case <-ctx.Done():
		return
	}
	o := &orphans{x: p.endings, marks: map[string]int{}, taken: map[string]bool{}}
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { o.watch(ctx) })
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
			for _, node := range o.dead() {
				watching.Go(func() { o.adopt(ctx, node) })
			}
			if o.unmarked() {
				p.endings.markAgain(ctx)
			}
			p.book.sweep(p.deps.Apps.BySlug)
		case <-ctx.Done():
		}
	}
}

// orphans are the records of nodes that have died.
type orphans struct {
	x *endings

	mu    sync.Mutex
	marks map[string]int // at how many looks in a row each node was missing
	taken map[string]bool
	own   bool // this node's mark is there, as far as is known
	known bool // what is there has been told
}

// watch follows which nodes have records.
func (o *orphans) watch(ctx context.Context) {
	for ctx.Err() == nil {
		o.begin()
		_ = o.x.records.Watch(ctx, hub.Key{markKind}, o.changed, o.synced)
		select {
		case <-time.After(watchAgain):
		case <-ctx.Done():
		}
	}
}

// begin forgets whether this node's mark is there: it is to be told.
func (o *orphans) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.own, o.known = false, false
}

func (o *orphans) synced() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known = true
}

func (o *orphans) changed(records []hub.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range records {
		switch node := r.Key[len(r.Key)-1]; {
		case node == o.x.p.deps.Hub.Node():
			o.own = r.Data != nil
		case r.Data == nil:
			delete(o.marks, node)
		default:
			o.marks[node] += 0
		}
	}
}

// unmarked reports that this node's mark is not there: another one has taken it for
// dead and told of its connections, and would not look for those that came since.
func (o *orphans) unmarked() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known && !o.own
}

// dead returns the nodes with records that do not live any more, and that nobody
// here has taken on yet.
func (o *orphans) dead() (nodes []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.marks) == 0 {
		return nil
	}
	live := o.x.p.deps.Hub.Nodes()
	for node := range o.marks {
		if slices.Contains(live, node) {
			o.marks[node] = 0
			continue
		}
		o.marks[node]++
		if o.marks[node] >= deadAfter && !o.taken[node] {
			o.taken[node] = true
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// adopt delivers what a dead node has left. Of all nodes one does, and if that dies
// too, the next.
func (o *orphans) adopt(ctx context.Context, node string) {
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.taken, node)
	}()
	err := o.x.p.deps.Hub.Lease(ctx, "the disconnects of "+node, func(ctx context.Context) {
		if err := o.inherit(ctx, node); err != nil && ctx.Err() == nil {
			o.x.p.deps.Log.Warn("the connections of a node that died are told of later", "node", node, "err", err)
		}
	})
	if err == nil || ctx.Err() != nil {
		return
	}
	o.x.p.deps.Log.Warn("the connections of a node that died are told of later", "node", node, "err", err)
}

// inherit delivers the records of a node, and then removes its mark.
func (o *orphans) inherit(ctx context.Context, node string) error {
	places := make(chan struct{}, inherited) // holds one for each that waits
	var after hub.Key
	for more := true; more; {
		records, next, err := o.x.records.List(ctx, hub.Key{recordKind, node}, after, page)
		if err != nil {
			return err
		}
		if err := o.deliver(ctx, records, places); err != nil {
			return err
		}
		if more = next && len(records) > 0; more {
			after = records[len(records)-1].Key
		}
	}
	for range inherited {
		if err := take(ctx, places); err != nil {
			return err
		}
	}
	return o.x.records.Delete(ctx, hub.Key{markKind, node}, hub.AnyRevision)
}

// deliver has the ends of connections told, of each as soon as it has a place.
func (o *orphans) deliver(ctx context.Context, records []hub.Record, places chan struct{}) error {
	for _, r := range records {
		e := &ending{key: r.Key, done: func() { <-places }}
		if err := json.Unmarshal(r.Data, &e.record); err != nil {
			o.x.p.deps.Log.Error("the record of a connection cannot be read", "err", err)
			continue
		}
		if e.noted = e.Code != 0; !e.noted {
			e.Code, e.Reason = closeAbnormal, reasonAbnormal
		}
		if err := take(ctx, places); err != nil {
			return err
		}
		o.x.add(e)
	}
	return nil
}

// take waits for a place.
func take(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
