package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/config"
)

// serveCmd is "earshot serve".
type serveCmd struct {
	Config string `short:"c" help:"The file with the settings." default:"earshot.toml" env:"EARSHOT_CONFIG" placeholder:"FILE"`
	Listen string `help:"Address and port, instead of server.listen." placeholder:"ADDRESS"`
	Data   string `help:"Data directory, instead of engine.data." placeholder:"DIR"`
}

// Run serves until it is told to stop.
func (s *serveCmd) Run(w *world) error {
	c, err := s.settings(w)
	if err != nil {
		return err
	}
	a, err := app.New(c, app.Options{Log: newLog(c, w.err)})
	if err != nil {
		return err
	}
	return w.runServer(a, func() error { return nil })
}

func (s *serveCmd) settings(w *world) (*config.Config, error) {
	c, err := loadSettings(s.Config, w)
	if err != nil {
		return nil, err
	}
	if s.Listen != "" {
		c.Server.Listen = s.Listen
	}
	if s.Data != "" {
		c.Engine.Data = s.Data
	}
	return c, nil
}

// loadSettings reads a file of settings. What cannot be read is an error at
// once; what can be read and cannot be meant is for app.Check.
func loadSettings(file string, w *world) (*config.Config, error) {
	c := config.Default()
	err := c.Load(file, w.env)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist; `%s token key` prints one to begin with, and `%s dev` needs none", file, w.name, w.name)
	}
	return c, err
}
