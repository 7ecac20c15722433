package hub

import (
	"container/heap"
	"slices"
)

// A ChannelCount is how many subscriptions a channel has on this node.
type ChannelCount struct {
	Name          string `cbor:"1,keyasint"`
	Subscriptions int    `cbor:"2,keyasint"`
}

// Subscribed returns up to limit channels of an app that have subscriptions on
// this node, in the order of their names, those after a name; empty for the
// first. More says whether there are others. Subscriptions that their channel
// does not count (earshot.Uncounted) are not counted.
func (h *Hub) Subscribed(slug, after string, limit int) (all []ChannelCount, more bool) {
	h.appsMu.RLock()
	a := h.apps[slug]
	h.appsMu.RUnlock()
	if a == nil {
		return nil, false
	}
	for {
		names, others := a.namesAfter(after, limit-len(all)+1)
		for _, name := range names {
			n := h.countHere(roomKey{slug, name})
			switch {
			case n == 0:
			case len(all) == limit:
				return all, true
			default:
				all = append(all, ChannelCount{name, n})
			}
		}
		if !others {
			return all, false
		}
		after = names[len(names)-1]
	}
}

// namesAfter returns the first of the names of channels that come after one. It
// looks at all, and keeps no more than it returns.
func (a *app) namesAfter(after string, limit int) (names []string, more bool) {
	first := &greatest{}
	a.mu.RLock()
	for name := range a.channels {
		switch {
		case name <= after && after != "":
		case len(*first) < limit:
			heap.Push(first, name)
		case name < (*first)[0]:
			more = true
			(*first)[0] = name
			heap.Fix(first, 0)
		default:
			more = true
		}
	}
	a.mu.RUnlock()
	slices.Sort(*first)
	return *first, more
}

// greatest is a heap with the greatest name on top.
type greatest []string

// Len, Less, Swap, Push and Pop are heap.Interface's.
func (g greatest) Len() int           { return len(g) }
func (g greatest) Less(i, j int) bool { return g[i] > g[j] }
func (g greatest) Swap(i, j int)      { g[i], g[j] = g[j], g[i] }
func (g *greatest) Push(x any)        { *g = append(*g, x.(string)) }
func (g *greatest) Pop() any {
	last := (*g)[len(*g)-1]
	*g = (*g)[:len(*g)-1]
	return last
}
