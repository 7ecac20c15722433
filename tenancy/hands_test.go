package tenancy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSlugChangesHands: an app gets another slug, or is deleted, and somebody else
// gets the one that it had. Who was connected is closed; what the first app has of
// tokens, keys and names opens nothing of the second, on either node, whatever of
// it was under way.
func TestSlugChangesHands(t *testing.T) {
	for _, how := range []string{"renamed", "deleted"} {
		t.Run(how, func(t *testing.T) {
			r := rand.New(rand.NewPCG(11, uint64(len(how))))
			w := newWorld(t, r, setup{nodes: 2, fixed: []*tenantApp{newTenant(t, r, "fixed")}})
			first := newTenant(t, r, "shop")
			w.create(first)
			before := w.audience(first)
			trying := &publishing{stop: make(chan struct{})}
			for _, n := range w.nodes {
				trying.running.Go(func() { trying.try(w, n, first) })
			}
			if how == "renamed" {
				status, body, _ := w.nodes[0].ask(w, ask{
					method: http.MethodPut, path: "/api/admin/apps/shop", body: "app[name]=Another Place",
					header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
					sign:   func(r *http.Request) { r.SetBasicAuth(operatorName, w.admin) },
				})
				if status != 200 || !strings.Contains(body, `"another-place"`) {
					t.Fatalf("renaming: %d %s", status, body)
				}
			} else {
				w.operate(w.nodes[0], http.MethodDelete, "/admin/apps/shop", nil, http.StatusNoContent)
			}
			second := newTenant(t, r, "shop")
			second.host, second.hmac.ID, second.pairID, second.key = "second.example", "h-second", "p-second", "key-second"
			second.rules = nil
			second.gateway = "gsecond"
			d := second.draft()
			d.Reuse = true
			w.operate(w.nodes[1], http.MethodPost, "/admin/apps", d, http.StatusCreated)
			w.served(second)
			for _, l := range before {
				if err := l.over(); err != nil {
					t.Error(err)
				}
			}
			after := w.audience(second)
			for i := range 20 {
				for _, n := range w.nodes {
					for _, channel := range []string{"room:live", "logged"} {
						m := mark{second.slug, channel, 1_000_000 + i}
						if status, body, _ := n.ask(w, mouths[0].ask(w, second, m)); status != http.StatusAccepted {
							t.Fatalf("%d %s", status, body)
						}
					}
				}
			}
			for _, l := range after {
				for _, channel := range []string{"room:live", "logged"} {
					if err := l.hears(mark{second.slug, channel, 1_000_019}); err != nil {
						t.Error(err)
					}
				}
			}
			trying.end()
			// Both are called shop in their marks: what the first said has another number.
			for _, l := range after {
				l.shut()
				for m := range l.heard {
					if m.n < 1_000_000 {
						t.Errorf("%s hears what the first app has said: %+v", l.about, m)
					}
				}
			}
		})
	}
}

// try publishes with all that an app has, and connects, until it is told to stop.
func (p *publishing) try(w *world, n *node, a *tenantApp) {
	for i := 0; ; i++ {
		select {
		case <-p.stop:
			return
		default:
		}
		for j := range mouths {
			by := &mouths[j]
			m := mark{a.slug, by.on(a, "logged"), int(p.n.Add(1))}
			_, _, _ = n.ask(w, by.ask(w, a, m))
		}
		s := &tongues[i%len(tongues)]
		l := newListener(w, n, a, fmt.Sprintf("%s of who was there before, at %v", s.name, time.Now().UnixMilli()))
		l.expects("logged") // of its own app, for as long as that is
		if s.open(l, s.enter(w, a, s.doors(a)[0])) == nil {
			_ = s.join(l, a, "logged")
			l.shut()
			for m := range l.heard { // nobody reads any more
				if m.n >= 1_000_000 {
					w.Errorf("%s hears the second app: %+v", l.about, m)
				}
			}
		}
	}
}
