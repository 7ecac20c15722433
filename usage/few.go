package usage

import (
	"sync"

	"github.com/earshot-io/earshot/hub"
)

// Others is the name of all apps that a Few does not tell apart. No app is called
// so.
const Others = "_other"

// A Few tells at most so many apps apart, so that who keeps time series of them
// keeps a bounded number: the first that are used on this node. An app that came
// too late is one of the Others until the node starts again, so that no figure
// that only rises ever falls. It is safe for concurrent use.
type Few struct {
	most int

	mu    sync.Mutex
	named map[string]bool
}

// NewFew makes one.
func NewFew(most int) *Few { return &Few{most: most, named: map[string]bool{}} }

// Of returns the uses of those that are told apart, and one of all others
// together, if there are any. The peak of the others is none.
func (f *Few) Of(uses []hub.AppUse) []hub.AppUse {
	f.mu.Lock()
	defer f.mu.Unlock()
	shown := make([]hub.AppUse, 0, min(len(uses), f.most+1))
	others := hub.AppUse{App: Others}
	for i := range uses {
		u := uses[i]
		if !f.named[u.App] && len(f.named) < f.most {
			f.named[u.App] = true
		}
		if f.named[u.App] {
			shown = append(shown, u)
			continue
		}
		others.MessagesIn += u.MessagesIn
		others.BytesIn += u.BytesIn
		others.MessagesOut += u.MessagesOut
		others.BytesOut += u.BytesOut
		others.Calls += u.Calls
		others.AuthFailures += u.AuthFailures
		others.Connections += u.Connections
	}
	if others != (hub.AppUse{App: Others}) {
		shown = append(shown, others)
	}
	return shown
}
