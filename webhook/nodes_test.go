package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// A node is a server of several: its events, its hub for the leases.
type node struct {
	*rig
	hub *hub.Hub
}

// joins adds a node to the receiver's servers.
func joins(t *testing.T, first *rig) *node {
	n := &node{rig: newRig(t, first.store)}
	n.app, n.receiver = first.app, first.receiver
	n.config = Config{Hold: time.Second, Poll: 500 * time.Millisecond}
	n.hub = hub.New(hub.Config{}, n.node, slog.New(slog.DiscardHandler))
	if err := n.hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	n.lease = n.hub.Lease
	n.start()
	return n
}

func (n *node) leaves() {
	n.stop()
	n.hub.Close()
	_ = n.node.Close(context.Background())
}

// dies ends the node as a kill does: it writes nothing and gives nothing back.
func (n *node) dies() {
	n.node.Cut()
	n.events.cancel()
	n.hub.Close()
	n.events.running.Wait()
	n.events = nil
	_ = n.node.Close(context.Background())
}

// TestTheOtherNodeTakesOver when the one that tells a webhook dies, or leaves.
// What both recorded is told, in the order of its channel.
func TestTheOtherNodeTakesOver(t *testing.T) {
	for _, dies := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			first := newRig(t, mem.NewStore(mem.Config{}))
			a, b := joins(t, first), joins(t, first)
			defer b.leaves()
			var seq int
			publish := func(on *node, count int) {
				for range count {
					seq++
					on.seq = uint64(seq) // the messages are of one log
					on.publish("a", fmt.Sprint(seq))
					on.publish(fmt.Sprint("b", seq%5), fmt.Sprint(seq))
					time.Sleep(30 * time.Millisecond)
				}
			}
			publish(a, 40)
			publish(b, 40)
			if dies {
				a.dies()
			} else {
				a.leaves()
			}
			taken, _ := first.receiver.count()
			publish(b, 40)
			b.sleep(20 * time.Second)
			first.wantTook("a", numbers(1, seq)...)
			for c := range 5 {
				var want []string
				for i := 1; i <= seq; i++ {
					if i%5 == c {
						want = append(want, fmt.Sprint(i))
					}
				}
				first.wantTook(fmt.Sprint("b", c), want...)
			}
			all, _ := first.receiver.count()
			if again := all - 2*seq; again < 0 || !dies && again > 0 || again > 40 {
				t.Errorf("dies %v: %d were told twice (%d before)", dies, again, taken)
			}
		})
	}
}

// TestOneNodeTells, however many there are.
func TestOneNodeTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newRig(t, mem.NewStore(mem.Config{}))
		first.receiver.slow = 100 * time.Millisecond
		nodes := []*node{joins(t, first), joins(t, first), joins(t, first)}
		for i := range 30 {
			nodes[i%3].publish("a", fmt.Sprint(i))
			time.Sleep(300 * time.Millisecond)
		}
		nodes[0].sleep(30 * time.Second)
		if taken, tried := first.receiver.count(); taken != 30 || tried != 30 || first.receiver.peak != 1 {
			t.Errorf("%d taken in %d tries, %d at once", taken, tried, first.receiver.peak)
		}
		for _, n := range nodes {
			n.leaves()
		}
	})
}
