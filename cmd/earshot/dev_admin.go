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
// settings have none. They are kept: without the same master key the secrets of
// apps could not be read after a restart.
func (d *devCmd) operate(c *config.Config, env config.Environment) error {
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
		c.Admin.User = cmp.Or(env.Get("PUSHER_ADMIN_USERNAME"), c.Admin.User, o.User)
		c.Admin.Password = config.Secret(cmp.Or(env.Get("PUSHER_ADMIN_PASSWORD"), o.Password))
	}
	c.Admin.MasterKey = cmp.Or(c.Admin.MasterKey, config.Secret(o.MasterKey))
	return nil
}
