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
	// publishKeys are found by hash, so that the time it takes tells nothing.
	publishKeys map[[sha256.Size]byte]*earshot.App
}

// NewDirectory makes a directory of apps, the first of which is the default. It
// fails if two apps claim the same slug, host, key id or publish key.
func NewDirectory(apps []*earshot.App) (*Directory, error) {
	d := &Directory{
		apps: apps, slugs: map[string]*earshot.App{}, hosts: map[string]*earshot.App{},
		keyIDs: map[string]*earshot.App{}, publishKeys: map[[sha256.Size]byte]*earshot.App{},
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
	for _, k := range a.SigningKeys {
		if k.ID == "" {
			continue
		}
		if other := d.keyIDs[k.ID]; other != nil {
			return fmt.Errorf("the apps %q and %q both have a signing key with the id %q", other.Slug, a.Slug, k.ID)
		}
		d.keyIDs[k.ID] = a
	}
	for _, k := range a.PublishKeys {
		sum := sha256.Sum256([]byte(k))
		if other := d.publishKeys[sum]; other != nil {
			return fmt.Errorf("the apps %q and %q share a publish key", other.Slug, a.Slug)
		}
		d.publishKeys[sum] = a
	}
	return nil
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
