package hub

import (
	"github.com/earshot-io/earshot"
)

// An app of which the hub has been told how to find it (SetApps) may change
// while its clients are connected. Whoever changes it makes the finder return
// the new one first, and calls Renew or Expel then: a connection that opens at
// the same time either is found by them, or finds the new app itself.

var errAppGone = &earshot.Error{Code: earshot.Kicked, Reason: "APP_GONE", Text: "the application is not served any more"}

// Renew gives an app's connections on this node the new version of their app:
// what they do from then on goes by its rules. A connection with a subscription
// that the new rules do not allow any more is closed, as Kicked, and what is over
// its limits as Limited: connections with too many subscriptions, and the newest
// of too many connections.
func (h *Hub) Renew(a *earshot.App) (closed int) {
	var left []*Conn
	for _, c := range h.conns() {
		switch old := c.App(); {
		case old == nil || old.Slug != a.Slug:
		case c.renew(a):
			left = append(left, c)
		default:
			closed++
		}
	}
	return closed + h.trim(a, left)
}

// renew is Renew for one connection; it reports false if it was closed.
func (c *Conn) renew(a *earshot.App) bool {
	c.shard.mu.Lock()
	if old := c.app.Load(); old == nil || old.Slug != a.Slug || old == a {
		c.shard.mu.Unlock()
		return true
	}
	c.app.Store(a)
	c.watchExpiry()
	all := c.subs.all()
	c.shard.mu.Unlock()
	if limit := c.maxSubscriptions(); limit > 0 && len(all) > limit {
		c.Close(errChannels(limit))
		return false
	}
	for _, sub := range all {
		if !c.judges(sub) {
			c.Close(&earshot.Error{Code: earshot.Kicked, Reason: "RULES_CHANGED", Text: "the rules of the application have changed"})
			return false
		}
		sub.watchExpiry()
	}
	return true
}

// Expel closes all of an app's connections on this node, as Kicked, because the
// app is not served any more. It returns how many.
func (h *Hub) Expel(slug string) (closed int) {
	for _, c := range h.conns() {
		if a := c.App(); a != nil && a.Slug == slug {
			c.Close(errAppGone)
			closed++
		}
	}
	return closed
}

// newest is the version of an app that counts now; nil if it is not served any
// more, or if another app has its slug: who showed proof to the old one has shown
// none to that. Where nobody has said how apps are found, none changes.
func (h *Hub) newest(a *earshot.App) *earshot.App {
	if a == nil || h.findApp == nil {
		return a
	}
	if now := h.findApp(a.Slug); now != nil && now.ID == a.ID {
		return now
	}
	return nil
}
