package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/tenant"
)

// appCmd is "earshot app".
type appCmd struct {
	Create    appCreateCmd    `cmd:"" help:"Make an app, and print it with its keys."`
	List      appListCmd      `cmd:"" help:"Print the apps that were made while the server ran."`
	Show      appShowCmd      `cmd:"" help:"Print an app without secrets."`
	Update    appUpdateCmd    `cmd:"" help:"Change an app."`
	Rotate    appRotateCmd    `cmd:"" help:"Make a new key of an app, beside the newest one."`
	Delete    appDeleteCmd    `cmd:"" help:"End an app, and close its connections."`
	Export    appExportCmd    `cmd:"" help:"Print an app with its secrets, for import."`
	Import    appImportCmd    `cmd:"" help:"Make an app of what export has printed."`
	Audit     appAuditCmd     `cmd:"" help:"Print who did what, the newest first."`
	Password  appPasswordCmd  `cmd:"" help:"Hash the operator's password, for admin.password."`
	MasterKey appMasterKeyCmd `cmd:"" name:"master-key" help:"Draw a master key, for admin.master_key."`
}

// operated is what every command that talks to the admin API has.
type operated struct {
	User     string `help:"The operator's name." env:"EARSHOT_ADMIN_USER" placeholder:"NAME"`
	Password string `help:"The operator's password." env:"EARSHOT_ADMIN_PASSWORD" placeholder:"PASSWORD"`
	Token    string `help:"The operator's token, instead of name and password." env:"EARSHOT_ADMIN_TOKEN" placeholder:"TOKEN"`
	target
}

// on runs a command as the operator, until it is done or somebody asks to stop.
func (o *operated) on(w *world, do func(ctx context.Context, admin *client.Admin) error) error {
	found, err := o.find(w)
	if err != nil {
		return err
	}
	a := &client.Admin{URL: found.URL, User: o.User, Password: o.Password, Token: o.Token}
	if a.Token == "" {
		if a.User, err = secret(a.User, found.AdminUser, "--user"); err != nil {
			return err
		}
		if a.Password, err = secret(a.Password, found.AdminPassword, "--password"); err != nil {
			return err
		}
	}
	ctx, forget := w.signalled()
	defer forget()
	return do(ctx, a)
}

// printApp prints an app as JSON.
func (w *world) printApp(a *client.App) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err == nil {
		_, err = fmt.Fprintln(w.out, string(text))
	}
	return err
}

// settable is what create and update both set.
type settable struct {
	Name   string   `help:"The name for people." placeholder:"NAME"`
	Host   []string `help:"A host name that selects it; may be repeated." placeholder:"HOST" sep:"none"`
	Origin []string `help:"A browser origin that may connect; may be repeated." placeholder:"ORIGIN" sep:"none"`
	Live   []string `help:"A pattern of channels that are live; may be repeated." placeholder:"PATTERN" sep:"none"`
	// Gateway is read by gateways.
	Gateway []string `help:"A file with WebSocket APIs as 'earshot import --json' prints them, instead of those that there are; may be repeated." placeholder:"FILE" sep:"none"`
	bounds
}

type appCreateCmd struct {
	Slug  string `arg:"" help:"Its name on the server: a-z, 0-9 and -."`
	Key   string `help:"What names it to clients that have no slug; drawn if not given." placeholder:"KEY"`
	Reuse bool   `help:"Take the slug of an app that was deleted, and what is stored under it."`
	settable
	operated
}

// Run makes an app.
func (c *appCreateCmd) Run(w *world) error {
	a := c.app()
	var err error
	if a.Gateways, err = c.gateways(w); err != nil {
		return err
	}
	return c.on(w, func(ctx context.Context, admin *client.Admin) error {
		made, err := admin.Create(ctx, a, c.Reuse)
		if err != nil {
			return err
		}
		return w.printApp(made)
	})
}

type appListCmd struct{ operated }

// Run prints a line for each app.
func (c *appListCmd) Run(w *world) error {
	return c.on(w, func(ctx context.Context, admin *client.Admin) error {
		for after, more := "", true; more; {
			var all []client.App
			var err error
			if all, after, more, err = admin.List(ctx, after); err != nil {
				return err
			}
			for i := range all {
				a := &all[i]
				if _, err := fmt.Fprintf(w.out, "%s\t%d\t%s\t%s\t%d\n", a.Slug, a.ID, a.Name, stateOf(a), a.Revision); err != nil {
					return err
				}
			}
			more = more && after != ""
		}
		return nil
	})
}

func stateOf(a *client.App) string {
	switch {
	case a.Problem != "":
		return "not served: " + a.Problem
	case a.Active:
		return "active"
	}
	return "disabled"
}

// named is a command about one app.
type named struct {
	Slug string `arg:"" help:"The app."`
	operated
}

type appShowCmd struct{ named }

// Run prints an app.
func (c *appShowCmd) Run(w *world) error {
	return c.on(w, func(ctx context.Context, admin *client.Admin) error {
		a, err := admin.Show(ctx, c.Slug)
		if err != nil {
			return err
		}
		return w.printApp(a)
	})
}

type appUpdateCmd struct {
	named
	settable
	Enable    bool     `help:"Serve it." xor:"state"`
	Disable   bool     `help:"Serve it no more, and close its connections." xor:"state"`
	RemoveKey []string `help:"The id of a key or secret that is to go; may be repeated." placeholder:"ID" sep:"none"`
	Revision  uint64   `help:"The revision that it must have." placeholder:"N"`
	File      string   `help:"A file with changes in JSON, as PATCH takes them; - reads standard input." placeholder:"FILE"`
}

// Run changes an app.
func (c *appUpdateCmd) Run(w *world) error {
	change := &client.AppChange{RemoveKeys: c.RemoveKey}
	if c.File != "" {
		if err := w.readJSON(c.File, change); err != nil {
			return err
		}
	}
	c.into(change)
	all, err := c.gateways(w)
	if err != nil {
		return err
	}
	if all != nil {
		change.Gateways = &all
	}
	return c.on(w, func(ctx context.Context, admin *client.Admin) error {
		a, err := admin.Update(ctx, c.Slug, change, c.Revision)
		if err != nil {
			return err
		}
		return w.printApp(a)
	})
}

// into adds what the flags say.
func (c *appUpdateCmd) into(change *client.AppChange) {
	c.settable.into(change)
	if c.Enable || c.Disable {
		change.Active = &c.Enable
	}
}

// readJSON reads a file, or standard input, that has no members that mean nothing.
func (w *world) readJSON(file string, into any) error {
	from := w.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	d := json.NewDecoder(from)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

type appRotateCmd struct {
	named
	Kind   string `help:"What: publishKey, signingKey, accessKey or secret." enum:"publishKey,signingKey,accessKey,secret" default:"signingKey"`
	Finish bool   `help:"Make none: take away all but the newest."`
}

// Run makes a new key, and prints the app with that key's secret.
func (c *appRotateCmd) Run(w *world) error {
	return c.on(w, func(ctx context.Context, admin *client.Admin) error {
		a, err := admin.Rotate(ctx, c.Slug, c.Kind, c.Finish)
		if err != nil {
			return err
		}
		return w.printApp(a)
	})
}

type appDeleteCmd struct {
	named
	Revision uint64 `help:"The revision that it must have." placeholder:"N"`
}

// Run ends an app.
func (c *appDeleteCmd) Run(w *world) error {
	return c.on(w, func(ctx context.Context, admin *client.Admin) error { return admin.Delete(ctx, c.Slug, c.Revision) })
}

type appExportCmd struct{ named }

// Run prints an app with its secrets.
func (c *appExportCmd) Run(w *world) error {
	return c.on(w, func(ctx context.Context, admin *client.Admin) error {
		a, err := admin.Export(ctx, c.Slug)
		if err != nil {
			return err
		}
		return w.printApp(a)
	})
}

type appImportCmd struct {
	File  string `arg:"" optional:"" help:"The file; without it, standard input is read." default:"-"`
	Slug  string `help:"Another slug than the file's." placeholder:"SLUG"`
	Reuse bool   `help:"Take the slug of an app that was deleted, and what is stored under it."`
	operated
}

// Run makes the app again, with its keys.
func (c *appImportCmd) Run(w *world) error {
	var a client.App
	if err := w.readJSON(c.File, &a); err != nil {
		return err
	}
	if c.Slug != "" {
		a.Slug = c.Slug
	}
	return c.on(w, func(ctx context.Context, admin *client.Admin) error {
		made, err := admin.Create(ctx, &a, c.Reuse)
		if err == nil {
			_, err = fmt.Fprintf(w.out, "%s\t%d\n", made.Slug, made.ID)
		}
		return err
	})
}

type appAuditCmd struct {
	Limit int `help:"How many at the most." default:"100" placeholder:"N"`
	operated
}

// Run prints a line for each action.
func (c *appAuditCmd) Run(w *world) error {
	return c.on(w, func(ctx context.Context, admin *client.Admin) error {
		left := c.Limit
		for after, more := "", true; more && left > 0; {
			all, others, err := admin.Audit(ctx, after)
			if err != nil {
				return err
			}
			for i := range all[:min(left, len(all))] {
				e := &all[i]
				after = e.ID
				if _, err := fmt.Fprintf(w.out, "%s\t%s\t%s\t%s\t%s\t%s\n", e.At.Local().Format(time.DateTime), e.By.Name, e.By.Address, e.Action, e.App, e.Outcome); err != nil {
					return err
				}
			}
			left -= len(all)
			more = others && len(all) > 0
		}
		return nil
	})
}

type appPasswordCmd struct{}

// Run reads a password from standard input and prints its hash.
func (*appPasswordCmd) Run(w *world) error {
	text, err := io.ReadAll(io.LimitReader(w.in, 4096))
	if err != nil {
		return err
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return errors.New("write the password to standard input")
	}
	_, err = fmt.Fprintln(w.out, auth.HashPassword(password))
	return err
}

type appMasterKeyCmd struct{}

// Run prints a master key.
func (*appMasterKeyCmd) Run(w *world) error {
	_, err := fmt.Fprintln(w.out, tenant.NewMasterKey())
	return err
}
