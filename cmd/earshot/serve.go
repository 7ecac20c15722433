package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/config"
)

// settingsFile is where settings are if nobody says.
const settingsFile = "earshot.toml"

// serveCmd is "earshot serve".
type serveCmd struct {
	Config string `short:"c" help:"The file with the settings." default:"${settings}" env:"EARSHOT_CONFIG" placeholder:"FILE"`
	Listen string `help:"Address and port, instead of server.listen." placeholder:"ADDRESS"`
	Data   string `help:"Data directory, instead of engine.data." placeholder:"DIR"`
}

// Run serves until it is told to stop.
func (s *serveCmd) Run(w *world) error {
	c, err := s.settings(w)
	if err := everyProblem(c, err); err != nil {
		return err
	}
	log := newLog(c, w.err)
	forget, err := dataOf(c, log)
	if err != nil {
		return err
	}
	a, err := app.New(c, app.Options{Log: log})
	if err == nil {
		err = w.runServer(a, func() error { return nil })
	}
	return errors.Join(err, forget())
}

func (s *serveCmd) settings(w *world) (*config.Config, error) {
	c, err := loadSettings(s.Config, w)
	if s.Listen != "" {
		c.Server.Listen = s.Listen
	}
	if s.Data != "" {
		c.Engine.Data = s.Data
	}
	return c, err
}

// everyProblem adds to the problems of reading settings those of what was read,
// so that all are told at once. An error that is not about settings is enough.
func everyProblem(c *config.Config, err error) error {
	var all, more config.Problems
	if err != nil && !errors.As(err, &all) {
		return err
	}
	if err := app.Check(c); err != nil && !errors.As(err, &more) {
		return err
	}
	all, more = append(all, more...), nil
	if err := c.CheckPublic(); err != nil && !errors.As(err, &more) {
		return err
	}
	if all = append(all, more...); len(all) > 0 {
		return all
	}
	return nil
}

// loadSettings reads a file of settings. Its problems are not all there may be:
// everyProblem adds the others.
func loadSettings(file string, w *world) (*config.Config, error) {
	c := config.Default()
	err := c.Load(file, w.env)
	if errors.Is(err, fs.ErrNotExist) && file == settingsFile && w.env.Notiflux() {
		c = config.Default()
		return c, c.Load("", w.env) // the variables of a notiflux are enough
	}
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%s does not exist; `%s token key` prints one to begin with, and `%s dev` needs none", file, w.name, w.name)
	}
	return c, err
}
