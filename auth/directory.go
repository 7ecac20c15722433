package auth

import (
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/earshot-io/earshot"
)

// A Directory finds applications. It is safe for concurrent use, and reading it
// takes no lock: each call sees the apps as they were last replaced, all of them
// at once. Whoever keeps a Directory sees what replaced them; an App that it
// returned stays as it was.
type Directory struct {
	now atomic.Pointer[snapshot]
	// changing is held by who replaces the apps.
	changing sync.Mutex
}

// NewDirectory makes a directory of apps, the first of which is the default. It
// fails if two apps claim the same slug, host, key, key id, publish key, access
// key or gateway, if a key has a colon or a slash, if a publish key is empty, if an
// access key cannot be named in a signature, or if a signing key is not what its
// algorithm needs.
func NewDirectory(apps []*earshot.App) (*Directory, error) {
	d := &Directory{}
	d.now.Store(emptySnapshot(0))
	if refused := d.Replace(apps); len(refused) > 0 {
		return nil, refused[0].Err
	}
	return d, nil
}

// A Refusal is an app that a directory did not take, and why. The error holds
// no secret.
type Refusal struct {
	App *earshot.App
	Err error
}

// Replace makes apps the directory's, the first of which is the default. What
// one of them claims that one before it has, or that is wrong, leaves it out, and
// is returned; the others count. An App that the directory had under the same
// pointer keeps what was made of it, so that replacing one of many is cheap, and
// tokens that its keys have verified need not be verified again.
func (d *Directory) Replace(apps []*earshot.App) []Refusal {
	d.changing.Lock()
	defer d.changing.Unlock()
	old, next := d.now.Load(), emptySnapshot(len(apps))
	var refused []Refusal
	for _, a := range apps {
		p := old.parts[a.Slug]
		if p == nil || p.app != a {
			var err error
			if p, err = newPart(a); err != nil {
				refused = append(refused, Refusal{a, err})
				continue
			}
		}
		if err := next.clash(p); err != nil {
			refused = append(refused, Refusal{a, err})
			continue
		}
		next.take(p)
	}
	d.now.Store(next)
	return refused
}

// Check reports what is wrong with an app by itself; nil for nothing.
func (d *Directory) Check(a *earshot.App) error {
	_, err := newPart(a)
	return err
}

// Fits reports why an app could not be added, or take the place of the one of
// its slug; nil if it could.
func (d *Directory) Fits(a *earshot.App) error { return d.FitsInstead(a, a.Slug) }

// FitsInstead is Fits for an app that takes the place of the one of another slug.
// Whether its own slug is free is not looked at.
func (d *Directory) FitsInstead(a *earshot.App, instead string) error {
	p, err := newPart(a)
	if err != nil {
		return err
	}
	return d.now.Load().clashBeside(p, instead)
}

// Warnings says, for the log at start, which keys are weaker than they should
// be. They are accepted, since existing systems bring them.
func (d *Directory) Warnings() []string {
	var all []string
	s := d.now.Load()
	for _, a := range s.apps {
		all = append(all, s.parts[a.Slug].warnings()...)
	}
	return all
}

// Apps returns all apps.
func (d *Directory) Apps() []*earshot.App { return d.now.Load().apps }

// Default is the app of who names none; nil if there is no app.
func (d *Directory) Default() *earshot.App { return d.now.Load().first() }

// BySlug returns the app of a slug, nil if there is none.
func (d *Directory) BySlug(slug string) *earshot.App { return d.now.Load().bySlug(slug) }

// ByHost returns the app that a request's Host names, nil if none does. A port
// does not matter.
func (d *Directory) ByHost(host string) *earshot.App {
	s := d.now.Load()
	if len(s.hosts) == 0 {
		return nil
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return s.hosts[strings.ToLower(host)]
}

// ByKey returns the app of a key (earshot.App.Key), nil if there is none.
func (d *Directory) ByKey(key string) *earshot.App { return d.now.Load().keys[key] }

// ByKeyID returns the app that has a signing key of this id, nil if none has.
func (d *Directory) ByKeyID(kid string) *earshot.App { return d.now.Load().keyIDs[kid] }

// ByPublishKey returns the app that a bearer key may publish to, nil if none.
func (d *Directory) ByPublishKey(key string) *earshot.App {
	return d.now.Load().publishKeys[sha256.Sum256([]byte(key))]
}

// errTwice is an app that claims a thing twice.
var errTwice = errors.New("it stands there twice")
