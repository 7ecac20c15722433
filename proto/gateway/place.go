package gateway

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/earshot-io/earshot"
	core "github.com/earshot-io/earshot/gateway"
)

// A place is where a request goes to: a stage of an API of an app.
type place struct {
	app   *earshot.App
	stage *core.Stage
}

// locate finds the stage of an upgrade (3.1). claimed says that host or path name
// an app that has APIs, be the stage unknown.
func (p *Protocol) locate(r *http.Request) (at place, claimed bool) {
	if !p.deps.Apps.HasGateways() {
		return place{}, false
	}
	segments, ok := split(r.URL)
	if !ok {
		return place{}, false
	}
	if len(segments) == 0 && !p.ownHost(r.Host) {
		return place{}, false
	}
	return p.resolve(r.Host, segments)
}

// resolve finds the stage that a host and the segments of a path name: the host an
// API, and then the path its stage; or the host an app, the first segment one, or
// neither, which is the default one, and what is left of the path a stage of it. A
// stage that is called as its app is meant by that name alone.
// No path is the API's default stage.
func (p *Protocol) resolve(host string, segments []string) (at place, claimed bool) {
	d := p.deps.Apps
	if a, g := d.ByGatewayHost(host); a != nil {
		api := p.book.of(a).api(g.ID)
		switch {
		case api == nil || len(segments) > 1:
			return place{}, true
		case len(segments) == 0:
			return at.in(a, defaultStage(api))
		}
		return at.in(a, api.Stage(segments[0]))
	}
	if a := d.ByHost(host); a != nil {
		if at, claimed = p.resolveIn(a, segments); at.stage != nil {
			return at, true
		}
	}
	if len(segments) == 1 {
		if at := p.namesake(segments[0]); at.stage != nil {
			return at, true
		}
	}
	if len(segments) > 0 {
		if a := d.BySlug(segments[0]); a != nil {
			at, also := p.resolveIn(a, segments[1:])
			if claimed = claimed || also; at.stage != nil {
				return at, true
			}
		}
	}
	if d.ByHost(host) == nil {
		at, also := p.resolveIn(d.Default(), segments)
		return at, claimed || also
	}
	return place{}, claimed
}

// in completes a place; it is claimed, whether there is a stage or not.
func (place) in(a *earshot.App, s *core.Stage) (place, bool) { return place{a, s}, true }

// resolveIn finds the stage that segments name in an app: by its name, of the
// first API that has it, or by its API's id and its name.
func (p *Protocol) resolveIn(a *earshot.App, segments []string) (at place, claimed bool) {
	shelf := p.book.of(a)
	if shelf == nil {
		return place{}, false
	}
	switch len(segments) {
	case 0:
		for _, api := range shelf.apis {
			return at.in(a, defaultStage(api))
		}
	case 1:
		for _, api := range shelf.apis {
			if s := api.Stage(segments[0]); s != nil {
				return at.in(a, s)
			}
		}
	case 2:
		if api := shelf.api(segments[0]); api != nil {
			return at.in(a, api.Stage(segments[1]))
		}
	}
	return place{}, true
}

// defaultStage is the stage of who names none: $default, else the first.
func defaultStage(a *core.API) *core.Stage {
	if s := a.Stage("$default"); s != nil {
		return s
	}
	for i := range a.Stages {
		return a.Stage(a.Stages[i].Name)
	}
	return nil
}

// split cuts a path at its slashes as they stand there, and only then decodes
// (9.1). Empty segments do not count.
func split(u *url.URL) (segments []string, ok bool) {
	for raw := range strings.SplitSeq(u.EscapedPath(), "/") {
		if raw == "" {
			continue
		}
		s, err := url.PathUnescape(raw)
		if err != nil {
			return nil, false
		}
		segments = append(segments, s)
	}
	return segments, true
}

// A book keeps what was compiled of each app's APIs, for as long as the app stays
// as it is.
type book struct {
	log  *slog.Logger
	used chan struct{} // closed when the first API is compiled

	mu      sync.RWMutex
	shelves map[string]*shelf
}

// A shelf are the APIs of one app, in their order.
type shelf struct {
	app  *earshot.App
	apis []*core.API
}

func newBook(log *slog.Logger) *book {
	return &book{log: log, used: make(chan struct{}), shelves: map[string]*shelf{}}
}

// api returns the API of an id, nil if there is none, or no shelf.
func (s *shelf) api(id string) *core.API {
	if s == nil {
		return nil
	}
	for _, a := range s.apis {
		if a.ID == id {
			return a
		}
	}
	return nil
}

// of returns the APIs of an app, nil if it has none.
func (b *book) of(a *earshot.App) *shelf {
	if a == nil || len(a.Gateways) == 0 {
		return nil
	}
	b.mu.RLock()
	s := b.shelves[a.Slug]
	b.mu.RUnlock()
	if s != nil && s.app == a {
		return s
	}
	return b.compile(a)
}

// compile compiles an app's APIs. Whoever made the app has checked them; one that
// cannot be compiled all the same is not there.
func (b *book) compile(a *earshot.App) *shelf {
	s := &shelf{app: a}
	for i := range a.Gateways {
		api, err := core.Compile(&a.Gateways[i])
		if err != nil {
			b.log.Error("a WebSocket API is left out", "app", a.Slug, "api", a.Gateways[i].ID, "err", err)
			continue
		}
		s.apis = append(s.apis, api)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.shelves) == 0 {
		select {
		case <-b.used:
		default:
			close(b.used)
		}
	}
	b.shelves[a.Slug] = s
	return s
}

// sweep forgets apps that are not there any more.
func (b *book) sweep(bySlug func(string) *earshot.App) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for slug := range b.shelves {
		if bySlug(slug) == nil {
			delete(b.shelves, slug)
		}
	}
}
