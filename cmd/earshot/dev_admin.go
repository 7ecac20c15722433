package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/tenant"
)

// devOperator is the operator of a development server as it is kept in the data
// directory, in a file of its own.
type devOperator struct {
	User      string `json:"user"`
	Password  string `json:"password"`
	MasterKey string `json:"master_key"`
}

const devAdmin = "admin.json"

// operate gives a development server an operator and a master key, where its
// settings and its environment have none. They are kept: without the same master key the secrets of
// apps could not be read after a restart.
func (d *devCmd) operate(c *config.Config) error {
	path := filepath.Join(c.Engine.Data, devAdmin)
	var o devOperator
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o = devOperator{User: "admin", Password: auth.NewPublishKey(), MasterKey: tenant.NewMasterKey()}
		if text, err = json.MarshalIndent(&o, "", "  "); err == nil {
			err = writeFile(path, append(text, '\n'))
		}
	case err == nil:
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if c.Admin.Password == "" && c.Admin.Token == "" {
		c.Admin.Password = config.Secret(o.Password)
	}
	if c.Admin.Password != "" {
		c.Admin.User = cmp.Or(c.Admin.User, o.User)
	}
	c.Admin.MasterKey = cmp.Or(c.Admin.MasterKey, config.Secret(o.MasterKey))
	return nil
}

// testApp is the app that Ex Pusher Lite's own documentation begins with.
func testApp() *tenant.Draft {
	return &tenant.Draft{Lean: true, App: tenant.App{
		Slug: "test-app", Name: "Test App", Active: true, Key: "test-app-fake-key",
		Secrets: []tenant.AppSecret{{ID: "as_test", Secret: "test-app-fake-secret"}},
	}}
}
