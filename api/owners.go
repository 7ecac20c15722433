package api

import (
	"net/http"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/tenant"
)

// givenOwner is an owner with what he logs in with, shown once.
type givenOwner struct {
	Owner    tenant.Owner `json:"owner"`
	Password string       `json:"password,omitempty"`
	Token    string       `json:"token"`
}

func (a *API) listOwners(w http.ResponseWriter, r *http.Request, _ tenant.Actor) error {
	all, more, err := a.tenants.Owners(r.Context(), r.URL.Query().Get("after"), adminPage)
	if err != nil {
		return err
	}
	if all == nil {
		all = []tenant.Owner{}
	}
	write(w, http.StatusOK, map[string]any{"owners": all, "more": more})
	return nil
}

func (a *API) createOwner(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	var asked struct {
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	if err := readAdmin(r, &asked); err != nil {
		return err
	}
	if a.operator.Names(asked.Name) {
		return &earshot.Error{Code: earshot.Conflict, Reason: "OWNER_TAKEN", Text: "this is the operator's name"}
	}
	made, err := a.tenants.CreateOwner(r.Context(), by, asked.Name, asked.Password)
	if err == nil {
		write(w, http.StatusCreated, givenOwner{made.Owner, made.Password, made.Token})
	}
	return err
}

func (a *API) resetOwner(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	var asked struct {
		Password string `json:"password"`
	}
	if r.ContentLength != 0 {
		if err := readAdmin(r, &asked); err != nil {
			return err
		}
	}
	made, err := a.tenants.ResetOwner(r.Context(), by, r.PathValue("name"), asked.Password)
	if err == nil {
		write(w, http.StatusOK, givenOwner{made.Owner, made.Password, made.Token})
	}
	return err
}

func (a *API) deleteOwner(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	err := a.tenants.DeleteOwner(r.Context(), by, r.PathValue("name"))
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}
