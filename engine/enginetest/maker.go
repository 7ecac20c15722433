package enginetest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/hub"
)

// A Node is an engine as one server uses it.
type Node interface {
	hub.Engine
	// Spend is auth.Spender's.
	Spend(ctx context.Context, app, jti string, until time.Time) (first bool, err error)
}

// Options are what a test asks of a new store.
type Options struct {
	// Nodes is how many servers use the store: 1 or 2.
	Nodes int
	// Cap is how many messages a channel keeps; 0 for the engine's default.
	Cap int
	// ResumeWindow is how long messages of Store 0 are kept; 0 for the default.
	ResumeWindow time.Duration
}

// A Cluster is nodes on one store, which nobody else uses. Nodes are opened,
// but not started. A capability that the engine lacks is nil.
type Cluster struct {
	Nodes []Node
	// Cut cuts a node's link to the store and to the other nodes; Restore mends it.
	Cut, Restore func(node int)
	// Reopen closes all nodes and opens as many on the same data.
	Reopen func()
	// NewEpoch closes all nodes, loses or disowns what is stored, as after a
	// crash that the disk did not survive, and opens as many.
	NewEpoch func()
	// StepDown makes the stream's leader hand over to another replica.
	StepDown func()
}

// The names of the capabilities, for Maker.Lacks.
const (
	TwoNodes = "two nodes"
	Cut      = "cut"
	Reopen   = "reopen"
	NewEpoch = "new epoch"
	StepDown = "step down"
)

// A Maker makes clusters of one kind of engine.
type Maker struct {
	// Open opens a cluster on a new store. It registers with t.Cleanup what
	// closes it; nodes that a test closed may be closed again.
	Open func(t *testing.T, o Options) *Cluster
	// Lacks names the capabilities that the engine has not, and why.
	Lacks map[string]string
	// Bubble runs each test in a synctest bubble, for engines without a network.
	Bubble bool
}

func (c *Cluster) can(capability string) bool {
	switch capability {
	case TwoNodes:
		return len(c.Nodes) == 2
	case Cut:
		return c.Cut != nil && c.Restore != nil
	case Reopen:
		return c.Reopen != nil
	case NewEpoch:
		return c.NewEpoch != nil
	case StepDown:
		return c.StepDown != nil
	}
	return false
}

// A promise is one test.
type promise struct {
	name    string
	options Options
	needs   []string
	test    func(*suite)
}

// Run runs all promises on the maker's engine.
func Run(t *testing.T, m Maker) {
	for _, p := range promises() {
		t.Run(p.name, func(t *testing.T) {
			for _, need := range p.needs {
				if why, ok := m.Lacks[need]; ok {
					t.Skipf("lacks %q: %s", need, why)
				}
			}
			if m.Bubble {
				synctest.Test(t, func(t *testing.T) { p.run(t, m) })
				return
			}
			p.run(t, m)
		})
	}
}

func (p promise) run(t *testing.T, m Maker) {
	o := p.options
	o.Nodes = 1
	if slices.Contains(p.needs, TwoNodes) {
		o.Nodes = 2
	}
	cluster := m.Open(t, o)
	for _, need := range p.needs {
		if !cluster.can(need) {
			t.Fatalf("the cluster has no %q, and Lacks does not say why", need)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	p.test(&suite{T: t, Cluster: cluster, ctx: ctx})
}

// patience is how long a test may take.
const patience = 3 * time.Minute

func promises() []promise {
	return slices.Concat(logPromises(), readPromises(), busPromises(), wherePromises(), hubPromises(), memberPromises(), outboxPromises(), recordPromises(), watchPromises())
}
