package mem_test

import (
	"context"
	"testing"

	"github.com/earshot-io/earshot/engine/enginetest"
	"github.com/earshot-io/earshot/engine/mem"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nodes are the engines of a store, which come anew when it is opened again.
type nodes struct {
	store *mem.Store
	list  []enginetest.Node
}

func (n *nodes) close() {
	for _, e := range n.list {
		_ = e.Close(context.Background())
	}
}

func (n *nodes) open(count int) {
	n.list = n.list[:0]
	for range count {
		n.list = append(n.list, n.store.Node())
	}
}

func open(t *testing.T, o enginetest.Options) *enginetest.Cluster {
	n := &nodes{store: mem.NewStore(mem.Config{Cap: o.Cap, ResumeWindow: o.ResumeWindow})}
	n.open(o.Nodes)
	t.Cleanup(n.close)
	c := &enginetest.Cluster{Nodes: n.list}
	c.Cut = func(i int) { n.list[i].(*mem.Engine).Cut() }
	c.Restore = func(i int) { n.list[i].(*mem.Engine).Restore() }
	c.Reopen = func() {
		n.close()
		n.open(o.Nodes)
		c.Nodes = n.list
	}
	c.NewEpoch = func() {
		n.close()
		n.store.NewEpoch()
		n.open(o.Nodes)
		c.Nodes = n.list
	}
	return c
}

func TestPromises(t *testing.T) {
	enginetest.Run(t, enginetest.Maker{
		Open: open, Bubble: true,
		Lacks: map[string]string{enginetest.StepDown: "a store in memory has no leader"},
	})
}
