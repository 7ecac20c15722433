package tenancy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/tenant"
)

// TestRefusedOrigins is the table of all doors of all tongues: a page of an origin
// that the app does not list gets nowhere, one that it lists and who is no browser
// do, and the app beside it lets everybody in. The log has one line with what would
// let the page in, for the app of the settings and for the one of the admin API;
// and what it says does.
func TestRefusedOrigins(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	fixed, free, made := newTenant(t, r, "fixed"), newTenant(t, r, "free"), newTenant(t, r, "made")
	const good, evil = "https://good.example", "https://evil.example:8443"
	w := newWorld(t, r, setup{fixed: []*tenantApp{fixed, free}, change: func(c *config.Config) { c.Apps[0].Origins = []string{good} }})
	w.create(made)
	set := func(origins ...string) {
		w.operate(w.nodes[0], http.MethodPatch, "/admin/apps/made", &tenant.Change{Origins: &origins}, 200)
	}
	set(good)
	for _, c := range []struct {
		app    *tenantApp
		origin string
		ok     bool
	}{
		{fixed, good, true},
		{fixed, "", true},
		{fixed, evil, false},
		{fixed, "null", false},
		{made, good, true},
		{made, evil, false},
		{made, good + ".evil.example", false},
		{free, evil, true},
	} {
		w.comesFrom(c.app, c.origin, c.ok)
	}
	log := w.nodes[0].log.String()
	for _, want := range []string{
		fmt.Sprintf(`app=fixed origin=%s allowed=[%s] "to allow it"="origins = [\"%s\", \"%s\"] of the app \"fixed\" in the settings"`, evil, good, good, evil),
		fmt.Sprintf(`app=made origin=%s allowed=[%s] "to allow it"="earshot app update made --origin '%s' --origin '%s'"`, evil, good, good, evil),
	} {
		if n := strings.Count(log, want); n != 1 {
			t.Errorf("%d lines say %s in:\n%s", n, want, log)
		}
	}
	if n := strings.Count(log, "a refused origin"); n != 4 {
		t.Errorf("%d lines tell of four refused origins:\n%s", n, log)
	}
	set(good, evil)
	w.eventually("what the log says lets the page in", func() bool {
		l, err := w.connectsFrom(&hotsockTongue, made, evil, hotsockTongue.doors(made)[0])
		if err == nil {
			l.shut()
		}
		return err == nil
	})
	w.comesFrom(made, evil, true)
}

// connectsFrom connects a page at a door.
func (w *world) connectsFrom(s *tongue, a *tenantApp, origin string, d door) (*listener, error) {
	d = s.enter(w, a, d)
	if origin != "" {
		d.header = map[string]string{"Origin": origin}
	}
	l := newListener(w, w.nodes[0], a, fmt.Sprintf("%s from %q at %s%s", s.name, origin, d.host, strings.SplitN(d.path, "?", 2)[0]))
	return l, s.open(l, d)
}

// comesFrom has a page come to all doors, and join: it hears, or it does not.
func (w *world) comesFrom(a *tenantApp, origin string, ok bool) {
	w.Helper()
	for i := range tongues {
		s := &tongues[i]
		for _, d := range s.doors(a) {
			l, err := w.connectsFrom(s, a, origin, d)
			if err != nil {
				if ok || !strings.Contains(err.Error(), "403") {
					w.Errorf("%s: %v", l.about, err)
				}
				continue
			}
			w.talk(s, l, ok)
			l.shut()
		}
	}
}
