package epl

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/tenant"
)

const (
	// adminLimit bounds how long a change of an app may take.
	adminLimit = 10 * time.Second
	// changeTries is how often a change is made anew of which another one got ahead.
	changeTries = 3
)

// base is the path of the admin API.
const base = "/api/admin/apps"

// A shown is an app as it is answered: these members and no others (A.4).
type shown struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Slug   string `json:"slug"`
	Key    string `json:"key"`
	Secret string `json:"secret"`
	Active bool   `json:"active"`
}

func show(a *tenant.App) shown {
	s := shown{ID: a.ID, Name: a.Name, Slug: a.Slug, Key: a.Key, Active: a.Active}
	if len(a.Secrets) > 0 {
		s.Secret = string(a.Secrets[0].Secret)
	}
	return s
}

func data(v any) map[string]any { return map[string]any{"data": v} }

// admin finds out which operator asks, before anything of the body is read.
func (a *API) admin(do func(w http.ResponseWriter, r *http.Request, by tenant.Actor) error) call {
	return func(w http.ResponseWriter, r *http.Request) error {
		if a.Operator == nil {
			return errUnauthorized
		}
		var from netip.Addr
		if a.Client != nil {
			from, _ = a.Client(r)
		}
		name, err := a.Operator.Admit(r.Context(), r, from)
		if err == nil {
			err = a.notReady()
		}
		if err != nil {
			return err
		}
		by := tenant.Actor{Name: name}
		if from.IsValid() {
			by.Address = from.String()
		}
		ctx, cancel := timely(r, adminLimit)
		defer cancel()
		return do(w, r.WithContext(ctx), by)
	}
}

func (a *API) list(w http.ResponseWriter, r *http.Request, _ tenant.Actor) error {
	all, err := a.Store.All(r.Context())
	if err != nil {
		return err
	}
	out := make([]shown, 0, len(all))
	for _, app := range all {
		out = append(out, show(app))
	}
	write(w, http.StatusOK, data(out))
	return nil
}

// find reads the app of the path. One that is switched off is not there, but for
// a request that switches it on.
func (a *API) find(r *http.Request, asleep bool) (*tenant.App, error) {
	app, err := a.Store.Get(r.Context(), r.PathValue("slug"))
	switch {
	case err != nil && earshot.CodeOf(err) == earshot.NotFound:
		return nil, errNotFound
	case err != nil:
		return nil, err
	case !app.Active && !asleep:
		return nil, errNotFound
	}
	return app, nil
}

func (a *API) show(w http.ResponseWriter, r *http.Request, _ tenant.Actor) error {
	app, err := a.find(r, false)
	if err == nil {
		write(w, http.StatusOK, data(show(app)))
	}
	return err
}

func (a *API) create(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	asked, err := readAsked(w, r)
	if err != nil {
		return err
	}
	slug, err := asked.forNew()
	if err != nil {
		return err
	}
	if a.Store.Named(asked.name, "") != "" {
		return errNameTaken
	}
	made, err := a.Store.Create(r.Context(), by, asked.draft(slug))
	if err != nil {
		return a.taken(r.Context(), err, asked.name, slug)
	}
	w.Header().Set("Location", base+"/"+made.Slug)
	write(w, http.StatusCreated, data(show(made)))
	return nil
}

// draft is a new app: with a key and a secret, and nothing else that opens it.
func (c *asked) draft(slug string) *tenant.Draft {
	d := &tenant.Draft{Lean: true, App: tenant.App{
		Slug: slug, Name: c.name, Key: newUUID(), Active: true,
		Secrets: []tenant.AppSecret{{ID: "as_" + strings.ToLower(rand.Text()[:10]), Secret: tenant.Secret(newUUID())}},
	}}
	if c.active != nil {
		d.Active = *c.active
	}
	if c.hosts != nil {
		d.Origins = *c.hosts
	}
	return d
}

// newUUID draws a random UUID.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// taken says what of an app is another's.
func (a *API) taken(ctx context.Context, err error, name, slug string) error {
	var e *earshot.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Reason {
	case "SLUG_TAKEN", "SLUG_USED":
		if other, err := a.Store.Get(ctx, slug); err == nil && other.Name == name {
			return errNameTaken
		}
		return errSlugTaken
	case "MASTER_KEY_MISSING":
		// Nothing that the client could mend.
		return &earshot.Error{Code: earshot.Unavailable, Reason: e.Reason, Text: e.Text, Err: err}
	}
	return err
}

func (a *API) update(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	asked, err := readAsked(w, r)
	if err != nil {
		return err
	}
	asleep := asked.active != nil && *asked.active
	app, err := a.find(r, asleep)
	if err == nil {
		err = asked.err()
	}
	for try := 1; err == nil; try++ {
		var changed *tenant.App
		changed, err = a.change(r.Context(), by, app, asked)
		if err == nil {
			write(w, http.StatusOK, data(show(changed)))
			return nil
		}
		if earshot.AsError(err).Reason != "REVISION" || try == changeTries {
			return err
		}
		app, err = a.find(r, asleep)
	}
	return err
}

// change makes of an app what is asked for. A new name moves it to a new slug.
func (a *API) change(ctx context.Context, by tenant.Actor, app *tenant.App, asked *asked) (*tenant.App, error) {
	c := &tenant.Change{Active: asked.active, Origins: asked.hosts}
	slug := app.Slug
	if asked.name != "" && asked.name != app.Name {
		c.Name = &asked.name
		if slug = Slug(asked.name); slug == "" {
			return nil, errSlugBlank
		}
		if a.Store.Named(asked.name, app.Slug) != "" {
			return nil, errNameTaken
		}
	}
	var changed *tenant.App
	var err error
	switch {
	case slug != app.Slug:
		changed, err = a.Store.Rename(ctx, by, app.Slug, slug, c, app.Revision)
	case c.Name == nil && c.Active == nil && c.Origins == nil:
		return app, nil
	default:
		changed, err = a.Store.Update(ctx, by, slug, c, app.Revision)
	}
	if err != nil {
		return nil, a.taken(ctx, err, asked.name, slug)
	}
	return changed, nil
}

func (a *API) remove(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	app, err := a.find(r, false)
	if err != nil {
		return err
	}
	err = a.Store.Delete(r.Context(), by, app.Slug, 0)
	if err != nil && earshot.CodeOf(err) == earshot.NotFound {
		return errNotFound
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
