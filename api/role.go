package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/tenant"
)

// A deed is done for who administers.
type deed func(w http.ResponseWriter, r *http.Request, by tenant.Actor) error

var (
	errOperatorOnly = &earshot.Error{Code: earshot.Forbidden, Reason: "OPERATOR_ONLY", Text: "this is the operator's alone"}
	errOwnersChange = &earshot.Error{
		Code: earshot.Forbidden, Reason: "OPERATOR_ONLY",
		Text: "an owner may change name, origins, audience, issuer, expiryCloses, channels, requireTls, keySigned, replay and keys; all else is the operator's alone",
	}
	// errTaken does not say whose it is.
	errTaken = &earshot.Error{Code: earshot.Conflict, Reason: "TAKEN", Text: "another app has a key of one of these ids"}
	errNoApp = &earshot.Error{Code: earshot.NotFound, Reason: "APP_NOT_FOUND", Text: "there is no such app"}
)

// operated is a deed of operators alone.
func (a *API) operated(do deed) http.Handler {
	return a.admin(func(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
		if by.Role != auth.RoleOperator {
			return errOperatorOnly
		}
		return do(w, r, by)
	})
}

// owned is a deed on the app of the path, of operators and of its owners. For
// other owners there is no such app.
func (a *API) owned(do deed) http.Handler {
	return a.admin(func(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
		if by.Role != auth.RoleOperator {
			if _, err := a.ownApp(r.Context(), by.Name, r.PathValue("slug")); err != nil {
				return err
			}
		}
		return do(w, r, by)
	})
}

// ownApp returns the number of an owner's app, 0 for one of the settings. It fails
// with NotFound if it is not his.
func (a *API) ownApp(ctx context.Context, owner, slug string) (id int64, err error) {
	app, err := a.tenants.Get(ctx, slug)
	switch {
	case err == nil && slices.Contains(app.Owners, owner):
		return app.ID, nil
	case err != nil && earshot.CodeOf(err) != earshot.NotFound:
		return 0, err
	}
	if fixed := a.apps.BySlug(slug); fixed != nil && fixed.ID == 0 && slices.Contains(fixed.Owners, owner) {
		return 0, nil
	}
	return 0, errNoApp
}

// numberOf returns the number of the app of a slug, 0 for one of the settings. It
// fails with NotFound if there is none.
func (a *API) numberOf(ctx context.Context, slug string) (id int64, err error) {
	if fixed := a.apps.BySlug(slug); fixed != nil && fixed.ID == 0 {
		return 0, nil
	}
	app, err := a.tenants.Get(ctx, slug)
	if err != nil {
		return 0, err
	}
	return app.ID, nil
}

// exists fails with NotFound if there is no app of the slug.
func (a *API) exists(ctx context.Context, slug string) error {
	if a.apps.BySlug(slug) != nil {
		return nil
	}
	_, err := a.tenants.Get(ctx, slug)
	return err
}

// ownersMay refuses what of a change is not an owner's: hosts, since they select
// the app before any other; whether it is active, its limits and its owners; and
// whatever it does not know.
func ownersMay(c *tenant.Change) error {
	allowed := tenant.Change{
		Name: c.Name, Origins: c.Origins, Audience: c.Audience, Issuer: c.Issuer, ExpiryCloses: c.ExpiryCloses,
		Channels: c.Channels, RequireTLS: c.RequireTLS, KeySigned: c.KeySigned, Replay: c.Replay,
		AddSigningKeys: c.AddSigningKeys, AddPublishKeys: c.AddPublishKeys, AddAccessKeys: c.AddAccessKeys, RemoveKeys: c.RemoveKeys,
	}
	if !reflect.DeepEqual(*c, allowed) {
		return errOwnersChange
	}
	return nil
}

// forOwner is an error that an owner is told: nothing of apps that are not his.
func forOwner(err error) error {
	if err != nil && earshot.AsError(err).Reason == errTaken.Reason {
		return errTaken
	}
	return err
}

// me says who asks.
func (a *API) me(w http.ResponseWriter, _ *http.Request, by tenant.Actor) error {
	write(w, http.StatusOK, map[string]any{"name": by.Name, "role": by.Role})
	return nil
}
