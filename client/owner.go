package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// An Owner is somebody who may see and change the apps that name him.
type Owner struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Updated is when he was last given a password and a token.
	Updated time.Time `json:"updated"`
}

// A GivenOwner is an owner with what he logs in with, which is not shown again.
type GivenOwner struct {
	Owner Owner `json:"owner"`
	// Password is empty if it was brought along; Token is for Admin.Token.
	Password string `json:"password,omitempty"`
	Token    string `json:"token"`
}

// CreateOwner makes an owner; without a password one is drawn. It fails with
// OWNER_TAKEN if there is one of the name.
func (a *Admin) CreateOwner(ctx context.Context, name, password string) (*GivenOwner, error) {
	return a.given(ctx, "/admin/owners", map[string]string{"name": name, "password": password})
}

// ResetOwner gives an owner another password and another token; without a password
// one is drawn. The old ones open nothing any more.
func (a *Admin) ResetOwner(ctx context.Context, name, password string) (*GivenOwner, error) {
	return a.given(ctx, "/admin/owners/"+url.PathEscape(name)+"/reset", map[string]string{"password": password})
}

func (a *Admin) given(ctx context.Context, path string, asked any) (*GivenOwner, error) {
	var got GivenOwner
	if err := a.call(ctx, http.MethodPost, path, asked, &got); err != nil {
		return nil, err
	}
	return &got, nil
}

// DeleteOwner ends an owner. His apps stay.
func (a *Admin) DeleteOwner(ctx context.Context, name string) error {
	return a.call(ctx, http.MethodDelete, "/admin/owners/"+url.PathEscape(name), nil, nil)
}

// Owners returns a page of owners in the order of their names, those after a name;
// empty for the first. More says whether there are others.
func (a *Admin) Owners(ctx context.Context, after string) (all []Owner, more bool, err error) {
	var got struct {
		Owners []Owner
		More   bool
	}
	err = a.call(ctx, http.MethodGet, "/admin/owners?"+url.Values{"after": {after}}.Encode(), nil, &got)
	return got.Owners, got.More, err
}
