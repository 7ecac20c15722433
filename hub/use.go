package hub

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/earshot-io/earshot"
)

// used is what an app has used on this node.
type used struct {
	// in and bytesIn count messages that were taken to be published; calls and
	// refused are told by the edges.
	in, bytesIn, calls, refused atomic.Uint64
	// conns is how many connections there are now, and peak how many there were
	// at most since that was last asked.
	conns atomic.Int64
	peak  atomic.Uint64
	// spent is when its server may have saved up everything again; see spend.
	spent atomic.Int64
	// out is what each shard has sent.
	out []sent
}

// sent is what one shard has queued for an app's connections. The shard's lock
// guards it, so that counting is a plain addition; it has a cache line of its
// own, since shards count at the same time.
type sent struct {
	messages, bytes uint64
	_               [48]byte
}

// peaked notes that there are n connections.
func (u *used) peaked(n int64) { raise(&u.peak, uint64(n)) }

// takes counts a message that is taken to be published. Notices are the server's
// own, and not counted.
func (u *used) takes(m *earshot.Message) {
	if m.Notice == earshot.NoNotice {
		u.in.Add(1)
		u.bytesIn.Add(uint64(len(m.Data)))
	}
}

// An AppUse is what one app has used on this node since the hub was made.
type AppUse struct {
	App string
	// ID is the number of the app that has the slug now; 0 for one of the settings,
	// and where there is none any more.
	ID int64
	// MessagesIn counts the messages that clients and servers published, and
	// BytesIn their data: those that were taken, whatever became of them.
	MessagesIn, BytesIn uint64
	// MessagesOut counts messages queued for a client, and BytesOut what they
	// have in its protocol, without any header of a transport.
	MessagesOut, BytesOut uint64
	// Calls counts requests of its servers, AuthFailures proofs that were refused.
	Calls, AuthFailures uint64
	// Connections are open now; Peak is how many were at once, at the most, since
	// AppUses was last called with fresh.
	Connections, Peak int
}

// AppUses returns what each app has used that has used anything, in the order of
// their slugs. With fresh, peaks begin anew: that is for one caller alone.
func (h *Hub) AppUses(fresh bool) []AppUse {
	apps := h.allApps()
	all := make([]AppUse, 0, len(apps))
	for _, a := range apps {
		if u := h.useOf(a, fresh); u != (AppUse{App: a.slug, ID: u.ID}) {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(x, y AppUse) int { return strings.Compare(x.App, y.App) })
	return all
}

// AppUse returns what an app has used; nothing of one that nobody knows.
func (h *Hub) AppUse(slug string) AppUse {
	h.appsMu.RLock()
	a := h.apps[slug]
	h.appsMu.RUnlock()
	if a == nil {
		return AppUse{App: slug}
	}
	return h.useOf(a, false)
}

func (h *Hub) useOf(a *app, fresh bool) AppUse {
	u := &a.used
	n := u.conns.Load()
	peak := u.peak.Load()
	if fresh {
		peak = u.peak.Swap(uint64(n))
		u.peaked(u.conns.Load()) // who came in between
	}
	out := AppUse{
		App: a.slug, MessagesIn: u.in.Load(), BytesIn: u.bytesIn.Load(), Calls: u.calls.Load(), AuthFailures: u.refused.Load(),
		Connections: int(n), Peak: max(int(peak), int(n)),
	}
	if h.findApp != nil {
		if now := h.findApp(a.slug); now != nil {
			out.ID = now.ID
		}
	}
	for i := range u.out {
		s := h.shards[i]
		s.mu.Lock()
		out.MessagesOut += u.out[i].messages
		out.BytesOut += u.out[i].bytes
		s.mu.Unlock()
	}
	return out
}

// CountCall counts a request of an app's server that was admitted; nil is no app.
func (h *Hub) CountCall(a *earshot.App) {
	if a != nil {
		h.app(a.Slug).used.calls.Add(1)
	}
}

// CountRefusal counts a proof, of a client or a server, that was shown to an app
// and refused; nil is no app.
func (h *Hub) CountRefusal(a *earshot.App) {
	if a != nil {
		h.app(a.Slug).used.refused.Add(1)
	}
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
