package ws

import (
	"fmt"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/proto"
)

// Apps finds applications: auth.Directory.
type Apps interface {
	ByHost(host string) *earshot.App
	BySlug(slug string) *earshot.App
}

// An Endpoint is a protocol where it listens.
type Endpoint struct {
	Entry    proto.Entry
	Protocol proto.Protocol
}

// serverSegments are the first path segments of the server's own HTTP side, and
// those that protocols of the family use or will: no application may be called
// so, whichever of them run.
var serverSegments = [...]string{
	"admin", "api", "app", "apps", "broadcast", "channels", "connection", "connections", "console", "debug", "health", "healthz",
	"livez", "lp", "metrics", "mqtt", "publish", "pusher", "readyz", "socket", "stomp", "v1", "v2", "ws",
}

// Taken returns the first path segments that are taken, with who has each: the
// server, or an entry by its name.
func Taken(entries []proto.Entry) map[string]string {
	taken := map[string]string{}
	for _, s := range serverSegments {
		taken[s] = "the server"
	}
	for _, e := range entries {
		for _, p := range append(slices.Clone(e.Paths), e.Segments...) {
			if first, _, _ := strings.Cut(strings.Trim(p, "/"), "/"); first != "" {
				taken[first] = e.Name
			}
		}
	}
	return taken
}

// routes is the table: who listens on a path, for which subprotocols.
type routes map[string][]*endpoint

// restPath is where the entry that takes the rest stands; no request has this path.
const restPath = ""

// newRoutes fails if two entries claim the same client, or an application has
// the name of a path.
func newRoutes(endpoints []*endpoint, apps Apps) (routes, error) {
	r := routes{}
	entries := make([]proto.Entry, 0, len(endpoints))
	for _, e := range endpoints {
		entries = append(entries, e.Entry)
		if e.Entry.Rest {
			if len(r[restPath]) > 0 {
				return nil, fmt.Errorf("%s and %s both take what nobody else does", r[restPath][0].Entry.Name, e.Entry.Name)
			}
			r[restPath] = []*endpoint{e}
		}
		for _, p := range e.Entry.Paths {
			if !strings.HasPrefix(p, "/") {
				return nil, fmt.Errorf("the path %q of %s does not begin with a slash", p, e.Entry.Name)
			}
			for _, other := range r[p] {
				if what := clash(e.Entry.Subprotocols, other.Entry.Subprotocols); what != "" {
					return nil, fmt.Errorf("%s and %s both take %s on the path %s", other.Entry.Name, e.Entry.Name, what, p)
				}
			}
			r[p] = append(r[p], e)
		}
	}
	for segment, owner := range Taken(entries) {
		if apps.BySlug(segment) != nil {
			return nil, fmt.Errorf("an app has the slug %q, but the path /%s belongs to %s", segment, segment, owner)
		}
	}
	return r, nil
}

// clash names what two entries on one path both take; empty for nothing.
func clash(a, b []string) string {
	if len(a) == 0 && len(b) == 0 {
		return "clients of any subprotocol"
	}
	for _, s := range a {
		if slices.Contains(b, s) {
			return fmt.Sprintf("clients of the subprotocol %q", s)
		}
	}
	return ""
}

// appSegment stands in an entry's path for the slug of an application.
const appSegment = "{app}"

// find returns who listens on a path, and the application that its first
// segment names, or the one where the entry's path has {app}; nil for none.
func (r routes) find(path string, apps Apps) ([]*endpoint, *earshot.App) {
	if all := r[path]; all != nil && !strings.Contains(path, appSegment) {
		return all, nil
	}
	slug, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if app := apps.BySlug(slug); app != nil {
		return r["/"+rest], app
	}
	// "/a/{app}/b": no more segments than that.
	before, rest, _ := strings.Cut(rest, "/")
	if app := apps.BySlug(before); app != nil {
		return r["/"+slug+"/"+appSegment+"/"+rest], app
	}
	return nil, nil
}

// choose returns the endpoint that takes a client: the one of the first
// subprotocol that it offers and anybody takes, else the one that takes every
// client; nil if there is none.
func choose(all []*endpoint, offered []string) *endpoint {
	for _, s := range offered {
		for _, e := range all {
			if slices.Contains(e.Entry.Subprotocols, s) {
				return e
			}
		}
	}
	for _, e := range all {
		if len(e.Entry.Subprotocols) == 0 {
			return e
		}
	}
	return nil
}
