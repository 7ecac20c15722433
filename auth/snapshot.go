package auth

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/earshot-io/earshot"
)

// A snapshot is the apps of a directory at one time. It is never changed once
// it is the directory's.
type snapshot struct {
	apps   []*earshot.App
	parts  map[string]*part
	hosts  map[string]*earshot.App
	keys   map[string]*earshot.App
	keyIDs map[string]*earshot.App
	// publishKeys are found by hash, so that the time it takes tells nothing.
	publishKeys map[[sha256.Size]byte]*earshot.App
	accessKeys  map[string]access
	gateways    gateways
}

func emptySnapshot(size int) *snapshot {
	return &snapshot{
		apps: make([]*earshot.App, 0, size), parts: make(map[string]*part, size), hosts: map[string]*earshot.App{},
		keys: make(map[string]*earshot.App, size), keyIDs: make(map[string]*earshot.App, size), publishKeys: make(map[[sha256.Size]byte]*earshot.App, size), accessKeys: map[string]access{},
		gateways: gateways{map[string]gateway{}, map[string]gateway{}},
	}
}

// A part is what one app brings. It is never changed.
type part struct {
	app    *earshot.App
	hosts  []string
	keys   []*key // in their order
	shared []*key // for who accepts them
	sums   [][sha256.Size]byte
	access map[string]access
	// gateways are its WebSocket APIs.
	gateways gateways
}

// newPart checks what can be checked without other apps.
func newPart(a *earshot.App) (*part, error) {
	if strings.ContainsAny(a.Key, ":/") {
		return nil, fmt.Errorf("app %q: its key has a colon or a slash, which stand behind keys in addresses and signatures", a.Slug)
	}
	p := &part{app: a, shared: sharedKeys(a)}
	seen := map[string]bool{}
	for _, h := range a.Hosts {
		h = strings.ToLower(h)
		if seen[h] {
			return nil, fmt.Errorf("app %q, host %q: %w", a.Slug, h, errTwice)
		}
		seen[h] = true
		p.hosts = append(p.hosts, h)
	}
	ids := map[string]bool{}
	for i, k := range a.SigningKeys {
		made, err := newKey(k)
		if err == nil && k.ID != "" && ids[k.ID] {
			err = fmt.Errorf("app %q has a signing key with that id already", a.Slug)
		}
		if err != nil {
			return nil, fmt.Errorf("app %q, signing key %d (id %q): %w", a.Slug, i+1, k.ID, err)
		}
		ids[k.ID] = true
		p.keys = append(p.keys, made)
	}
	if err := p.addSums(); err != nil {
		return nil, err
	}
	if err := p.addGateways(); err != nil {
		return nil, err
	}
	var err error
	p.access, err = accessKeys(a)
	return p, err
}

func (p *part) addSums() error {
	p.sums = append(p.sums, p.app.PublishSums...)
	for _, k := range p.app.PublishKeys {
		if k == "" {
			return fmt.Errorf("app %q has an empty publish key", p.app.Slug)
		}
		p.sums = append(p.sums, sha256.Sum256([]byte(k)))
	}
	seen := make(map[[sha256.Size]byte]bool, len(p.sums))
	for _, sum := range p.sums {
		if seen[sum] {
			return fmt.Errorf("the apps %q and %q share a publish key", p.app.Slug, p.app.Slug)
		}
		seen[sum] = true
	}
	return nil
}

func (p *part) warnings() []string {
	var all []string
	for i, k := range p.keys {
		if why := k.weak(); why != "" {
			all = append(all, fmt.Sprintf("app %q, signing key %d (id %q): %s", p.app.Slug, i+1, k.id, why))
		}
	}
	return all
}

// clash reports what of a part another app has.
func (s *snapshot) clash(p *part) error {
	if s.parts[p.app.Slug] != nil {
		return fmt.Errorf("two apps have the slug %q", p.app.Slug)
	}
	return s.clashBeside(p, "")
}

// clashBeside is clash, but for the slug, and for what the app of a slug has.
func (s *snapshot) clashBeside(p *part, slug string) error {
	taken := func(by *earshot.App) bool { return by != nil && by.Slug != slug }
	for _, h := range p.hosts {
		if other := s.hosts[h]; taken(other) {
			return fmt.Errorf("the apps %q and %q both claim the host %q", other.Slug, p.app.Slug, h)
		}
	}
	if other := s.keys[p.app.Key]; taken(other) {
		return fmt.Errorf("the apps %q and %q have the same key", other.Slug, p.app.Slug)
	}
	for i, k := range p.keys {
		if other := s.keyIDs[k.id]; taken(other) {
			return fmt.Errorf("app %q, signing key %d (id %q): app %q has a signing key with that id already", p.app.Slug, i+1, k.id, other.Slug)
		}
	}
	for _, sum := range p.sums {
		if other := s.publishKeys[sum]; taken(other) {
			return fmt.Errorf("the apps %q and %q share a publish key", other.Slug, p.app.Slug)
		}
	}
	for id := range p.access {
		if other := s.accessKeys[id].app; taken(other) {
			return fmt.Errorf("the apps %q and %q both have the access key %q", other.Slug, p.app.Slug, id)
		}
	}
	return s.gatewayClash(p, taken)
}

// take adds a part that does not clash.
func (s *snapshot) take(p *part) {
	a := p.app
	s.apps = append(s.apps, a)
	s.parts[a.Slug] = p
	for _, h := range p.hosts {
		s.hosts[h] = a
	}
	if a.Key != "" {
		s.keys[a.Key] = a
	}
	for _, k := range p.keys {
		if k.id != "" {
			s.keyIDs[k.id] = a
		}
	}
	for _, sum := range p.sums {
		s.publishKeys[sum] = a
	}
	for id, k := range p.access {
		s.accessKeys[id] = k
	}
	s.gateways.take(p)
}

func (s *snapshot) first() *earshot.App {
	if len(s.apps) == 0 {
		return nil
	}
	return s.apps[0]
}

func (s *snapshot) bySlug(slug string) *earshot.App {
	if p := s.parts[slug]; p != nil {
		return p.app
	}
	return nil
}

// key chooses the one key that a token is tried with; see Verifier. It returns
// nil if none fits. A connection may hold an App that was replaced: its next
// token is judged by today's keys, and by what today's app asks for.
func (s *snapshot) key(a *earshot.App, h header) (*key, *earshot.App) {
	p := s.parts[a.Slug]
	if p == nil {
		return nil, nil
	}
	var blank *key
	for _, k := range p.keys {
		switch {
		case k.id != "" && k.id == h.kid:
			return k, p.app
		case k.id == "" && (blank == nil || blank.alg != h.alg && k.alg == h.alg):
			blank = k
		}
	}
	return blank, p.app
}

// sharedOf are today's shared keys of an app, and the app as it is today.
func (s *snapshot) sharedOf(a *earshot.App) ([]*key, *earshot.App) {
	if p := s.parts[a.Slug]; p != nil {
		return p.shared, p.app
	}
	return nil, nil
}
