package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/tenant"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// adminPage is how many apps or entries of the audit trail are listed at once.
const adminPage = 100

// maxAdminBody bounds a request: an app with all its keys.
const maxAdminBody = 2 * tenant.MaxSize

// adminRoutes registers what operators and owners may do.
func (a *API) adminRoutes(handle func(pattern string, h http.Handler)) {
	handle("GET /admin/me", a.admin(a.me))
	handle("GET /admin/apps", a.admin(a.listApps))
	handle("POST /admin/apps", a.operated(a.createApp))
	handle("GET /admin/apps/{slug}", a.owned(a.showApp))
	handle("PATCH /admin/apps/{slug}", a.owned(a.updateApp))
	handle("DELETE /admin/apps/{slug}", a.operated(a.deleteApp))
	handle("POST /admin/apps/{slug}/rotate", a.owned(a.rotateApp))
	handle("POST /admin/apps/{slug}/export", a.owned(a.exportApp))
	handle("GET /admin/audit", a.admin(a.audit))
	handle("GET /admin/audit.csv", a.admin(a.audit))
	handle("GET /admin/owners", a.operated(a.listOwners))
	handle("POST /admin/owners", a.operated(a.createOwner))
	handle("DELETE /admin/owners/{name}", a.operated(a.deleteOwner))
	handle("POST /admin/owners/{name}/reset", a.operated(a.resetOwner))
	a.usageRoutes(handle)
}

// admin finds out who asks, an operator or an owner. An error that the handler
// returns is answered.
func (a *API) admin(do deed) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, err := a.operate(r)
		if err == nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxAdminBody)
			err = do(w, r, by)
		}
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			err = &earshot.Error{Code: earshot.TooLarge, Reason: "BODY_TOO_LARGE", Text: "the body is larger than 128 KiB"}
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

func (a *API) operate(r *http.Request) (tenant.Actor, error) {
	if a.operator == nil || a.tenants == nil {
		return tenant.Actor{}, &earshot.Error{Code: earshot.NotFound, Reason: "ADMIN_OFF", Text: "nobody may administer this server: its settings have no [admin] with a password or a token"}
	}
	var from netip.Addr
	if a.client != nil {
		from, _ = a.client(r)
	}
	who, err := a.operator.AdmitAny(r.Context(), r, from)
	if err != nil {
		return tenant.Actor{}, err
	}
	if err := a.ready(); err != nil {
		return tenant.Actor{}, &earshot.Error{Code: earshot.Unavailable, Reason: "NOT_READY", Text: "the server is " + err.Error(), RetryAfter: retrySoon}
	}
	by := tenant.Actor{Name: who.Name, Role: who.Role}
	if from.IsValid() {
		by.Address = from.String()
	}
	return by, nil
}

// readAdmin reads a body, one JSON object without members that mean nothing.
func readAdmin(r *http.Request, into any) error {
	err := json.UnmarshalRead(r.Body, into, json.RejectUnknownMembers(true))
	var tooLarge *http.MaxBytesError
	var wrong *json.SemanticError
	switch {
	case err == nil, errors.As(err, &tooLarge):
		return err
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &wrong):
		return invalid("MEMBER_UNKNOWN", "there is no member "+string(wrong.JSONPointer))
	case errors.As(err, &wrong):
		return invalid("MEMBER_TYPE", string(wrong.JSONPointer)+" has the wrong type")
	case errors.Is(err, jsontext.ErrDuplicateName):
		return invalid("DUPLICATE_MEMBER", "a member comes twice")
	}
	return invalid("JSON", "the body is not a JSON object in UTF-8")
}

// revision is what ?revision= says, 0 for nothing.
func revision(r *http.Request) (uint64, error) {
	text := r.URL.Query().Get("revision")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, invalid("REVISION", "revision is the number that the app was read with")
	}
	return n, nil
}

// reveal answers with an app and its secrets.
func reveal(w http.ResponseWriter, code int, app *tenant.App) error {
	text, err := tenant.Reveal(map[string]any{"app": app})
	if err == nil {
		write(w, code, jsontext.Value(text))
	}
	return err
}

// listApps lists all apps to an operator, and his own to an owner.
func (a *API) listApps(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	list := a.tenants.List
	if by.Role != auth.RoleOperator {
		list = func(ctx context.Context, after string, limit int) ([]tenant.Listed, string, bool, error) {
			return a.tenants.Owned(ctx, by.Name, after, limit)
		}
	}
	all, last, more, err := list(r.Context(), r.URL.Query().Get("after"), adminPage)
	if err != nil {
		return err
	}
	if all == nil {
		all = []tenant.Listed{}
	}
	write(w, http.StatusOK, map[string]any{"apps": all, "last": last, "more": more})
	return nil
}

func (a *API) createApp(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	d := tenant.Draft{App: tenant.App{Active: true}}
	if err := readAdmin(r, &d); err != nil {
		return err
	}
	made, err := a.tenants.Create(r.Context(), by, &d)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/admin/apps/"+made.Slug)
	return reveal(w, http.StatusCreated, made)
}

func (a *API) showApp(w http.ResponseWriter, r *http.Request, _ tenant.Actor) error {
	app, err := a.tenants.Get(r.Context(), r.PathValue("slug"))
	if err == nil {
		write(w, http.StatusOK, map[string]any{"app": app.Public()})
	}
	return err
}

func (a *API) updateApp(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	var c tenant.Change
	rev, err := revision(r)
	if err == nil {
		err = readAdmin(r, &c)
	}
	if err == nil && by.Role != auth.RoleOperator {
		err = ownersMay(&c)
	}
	if err != nil {
		return err
	}
	app, err := a.tenants.Update(r.Context(), by, r.PathValue("slug"), &c, rev)
	if by.Role != auth.RoleOperator {
		err = forOwner(err)
	}
	if err == nil {
		write(w, http.StatusOK, map[string]any{"app": app.Public()})
	}
	return err
}

func (a *API) deleteApp(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	rev, err := revision(r)
	if err == nil {
		err = a.tenants.Delete(r.Context(), by, r.PathValue("slug"), rev)
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// rotateApp answers with all keys of the kind; the new one, which comes first,
// has its secret.
func (a *API) rotateApp(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	var rotation tenant.Rotation
	rev, err := revision(r)
	if err == nil {
		err = readAdmin(r, &rotation)
	}
	if err != nil {
		return err
	}
	app, err := a.tenants.Rotate(r.Context(), by, r.PathValue("slug"), rotation, rev)
	if err != nil {
		return err
	}
	if rotation.Finish {
		write(w, http.StatusOK, map[string]any{"app": app.Public()})
		return nil
	}
	return reveal(w, http.StatusOK, newestOf(app, rotation.Kind))
}

// newestOf is an app without secrets but for the newest of a kind.
func newestOf(app *tenant.App, kind string) *tenant.App {
	shown := app.Public()
	switch kind {
	case tenant.RotatePublishKey:
		shown.PublishKeys[0].Key = app.PublishKeys[0].Key
	case tenant.RotateSigningKey:
		shown.SigningKeys[0].Secret = app.SigningKeys[0].Secret
	case tenant.RotateAccessKey:
		shown.AccessKeys[0].Secret = app.AccessKeys[0].Secret
	case tenant.RotateSecret:
		shown.Secrets[0].Secret = app.Secrets[0].Secret
	}
	return shown
}

func (a *API) exportApp(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	app, err := a.tenants.Export(r.Context(), by, r.PathValue("slug"))
	if err != nil {
		return err
	}
	return reveal(w, http.StatusOK, app)
}
