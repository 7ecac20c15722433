package auth

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/earshot-io/earshot"
)

// A Directory finds applications. It is a snapshot: safe for concurrent use,
// and never changed.
type Directory struct {
	apps   []*earshot.App
	slugs  map[string]*earshot.App
	hosts  map[string]*earshot.App
	keyIDs map[string]*earshot.App
	// keys are the signing keys of each app's slug, in their order. A connection
	// may hold an older snapshot of its app: its next token is judged by today's keys.
	keys map[string][]*key
	// publishKeys are found by hash, so that the time it takes tells nothing.
	publishKeys map[[sha256.Size]byte]*earshot.App
	accessKeys  map[string]access
}

// NewDirectory makes a directory of apps, the first of which is the default. It
// fails if two apps claim the same slug, host, key id, publish key or access key,
// if a publish key is empty, if an access key cannot be named in a signature, or
// if a signing key is not what its algorithm needs.
func NewDirectory(apps []*earshot.App) (*Directory, error) {
	d := &Directory{
		apps: apps, slugs: map[string]*earshot.App{}, hosts: map[string]*earshot.App{},
		keyIDs: map[string]*earshot.App{}, keys: map[string][]*key{}, publishKeys: map[[sha256.Size]byte]*earshot.App{},
		accessKeys: map[string]access{},
	}
	for _, a := range apps {
		if err := d.add(a); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Directory) add(a *earshot.App) error {
	if d.slugs[a.Slug] != nil {
		return fmt.Errorf("two apps have the slug %q", a.Slug)
	}
	d.slugs[a.Slug] = a
	for _, h := range a.Hosts {
		h = strings.ToLower(h)
		if other := d.hosts[h]; other != nil {
			return fmt.Errorf("the apps %q and %q both claim the host %q", other.Slug, a.Slug, h)
		}
		d.hosts[h] = a
	}
	for i, k := range a.SigningKeys {
		if err := d.addKey(a, k); err != nil {
			return fmt.Errorf("app %q, signing key %d (id %q): %w", a.Slug, i+1, k.ID, err)
		}
	}
	for _, k := range a.PublishKeys {
		if k == "" {
			return fmt.Errorf("app %q has an empty publish key", a.Slug)
		}
		sum := sha256.Sum256([]byte(k))
		if other := d.publishKeys[sum]; other != nil {
			return fmt.Errorf("the apps %q and %q share a publish key", other.Slug, a.Slug)
		}
		d.publishKeys[sum] = a
	}
	return d.addAccessKeys(a)
}

func (d *Directory) addKey(a *earshot.App, k earshot.SigningKey) error {
	made, err := newKey(k)
	if err != nil {
		return err
	}
	if k.ID != "" {
		if other := d.keyIDs[k.ID]; other != nil {
			return fmt.Errorf("app %q has a signing key with that id already", other.Slug)
		}
		d.keyIDs[k.ID] = a
	}
	d.keys[a.Slug] = append(d.keys[a.Slug], made)
	return nil
}

// Warnings says, for the log at start, which keys are weaker than they should
// be. They are accepted, since existing systems bring them.
func (d *Directory) Warnings() []string {
	var all []string
	for _, a := range d.apps {
		for i, k := range d.keys[a.Slug] {
			if why := k.weak(); why != "" {
				all = append(all, fmt.Sprintf("app %q, signing key %d (id %q): %s", a.Slug, i+1, k.id, why))
			}
		}
	}
	return all
}

// key chooses the one key that a token is tried with; see Verifier. It returns
// nil if none fits.
func (d *Directory) key(a *earshot.App, h header) *key {
	var blank *key
	for _, k := range d.keys[a.Slug] {
		switch {
		case k.id != "" && k.id == h.kid:
			return k
		case k.id == "" && (blank == nil || blank.alg != h.alg && k.alg == h.alg):
			blank = k
		}
	}
	return blank
}

// Apps returns all apps.
func (d *Directory) Apps() []*earshot.App { return d.apps }

// Default is the app of who names none; nil if there is no app.
func (d *Directory) Default() *earshot.App {
	if len(d.apps) == 0 {
		return nil
	}
	return d.apps[0]
}

// BySlug returns the app of a slug, nil if there is none.
func (d *Directory) BySlug(slug string) *earshot.App { return d.slugs[slug] }

// ByHost returns the app that a request's Host names, nil if none does. A port
// does not matter.
func (d *Directory) ByHost(host string) *earshot.App {
	if len(d.hosts) == 0 {
		return nil
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return d.hosts[strings.ToLower(host)]
}

// ByKeyID returns the app that has a signing key of this id, nil if none has.
func (d *Directory) ByKeyID(kid string) *earshot.App { return d.keyIDs[kid] }

// ByPublishKey returns the app that a bearer key may publish to, nil if none.
func (d *Directory) ByPublishKey(key string) *earshot.App {
	return d.publishKeys[sha256.Sum256([]byte(key))]
}
