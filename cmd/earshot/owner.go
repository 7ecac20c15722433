package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/earshot-io/earshot/client"
)

// ownerCmd is "earshot owner".
type ownerCmd struct {
	Create ownerCreateCmd `cmd:"" help:"Make an owner, and print what he logs in with."`
	List   ownerListCmd   `cmd:"" help:"Print the owners."`
	Delete ownerDeleteCmd `cmd:"" help:"End an owner; his apps stay."`
	Reset  ownerResetCmd  `cmd:"" help:"Give an owner another password and another token."`
}

// ownerLogin is what create and reset both have.
type ownerLogin struct {
	Name  string `arg:"" help:"His name: letters, digits and . _ @ + -."`
	Bring bool   `help:"Read his password from standard input, instead of drawing one."`
	operated
}

// password is what standard input says, empty to draw one.
func (c *ownerLogin) password(w *world) (string, error) {
	if !c.Bring {
		return "", nil
	}
	text, err := io.ReadAll(io.LimitReader(w.in, 4096))
	password := strings.TrimRight(string(text), "\r\n")
	if err == nil && password == "" {
		err = fmt.Errorf("standard input has no password")
	}
	return password, err
}

// give prints what an owner was given.
func (c *ownerLogin) give(w *world, ask func(ctx context.Context, admin *client.Admin, password string) (*client.GivenOwner, error)) error {
	password, err := c.password(w)
	if err != nil {
		return err
	}
	return c.on(w, func(ctx context.Context, admin *client.Admin) error {
		given, err := ask(ctx, admin, password)
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(given, "", "  ")
		if err == nil {
			_, err = fmt.Fprintln(w.out, string(text))
		}
		return err
	})
}

type ownerCreateCmd struct{ ownerLogin }

// Run makes an owner.
func (c *ownerCreateCmd) Run(w *world) error {
	return c.give(w, func(ctx context.Context, admin *client.Admin, password string) (*client.GivenOwner, error) {
		return admin.CreateOwner(ctx, c.Name, password)
	})
}

type ownerResetCmd struct{ ownerLogin }

// Run gives an owner another password and token.
func (c *ownerResetCmd) Run(w *world) error {
	return c.give(w, func(ctx context.Context, admin *client.Admin, password string) (*client.GivenOwner, error) {
		return admin.ResetOwner(ctx, c.Name, password)
	})
}

type ownerDeleteCmd struct {
	Name string `arg:"" help:"The owner."`
	operated
}

// Run ends an owner.
func (c *ownerDeleteCmd) Run(w *world) error {
	return c.on(w, func(ctx context.Context, admin *client.Admin) error { return admin.DeleteOwner(ctx, c.Name) })
}

type ownerListCmd struct{ operated }

// Run prints a line for each owner.
func (c *ownerListCmd) Run(w *world) error {
	return c.on(w, func(ctx context.Context, admin *client.Admin) error {
		for after, more := "", true; more; {
			var page []client.Owner
			var err error
			if page, more, err = admin.Owners(ctx, after); err != nil {
				return err
			}
			for i := range page {
				after = page[i].Name
				if _, err := fmt.Fprintf(w.out, "%s\t%s\n", after, page[i].Created.Format(time.RFC3339)); err != nil {
					return err
				}
			}
			more = more && len(page) > 0
		}
		return nil
	})
}
