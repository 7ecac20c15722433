package main

import (
	"fmt"

	"github.com/earshot-io/earshot/config"
)

// configCmd is "earshot config".
type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say what is wrong with a file of settings."`
	Print configPrintCmd `cmd:"" help:"Print the settings in force, without secrets."`
	Doc   configDocCmd   `cmd:"" help:"Print every setting with its default and what it means."`
}

// configFile is the file that a command is about.
type configFile struct {
	File string `arg:"" optional:"" help:"The file." default:"${settings}" env:"EARSHOT_CONFIG"`
}

// configCheckCmd is "earshot config check".
type configCheckCmd struct{ configFile }

// Run says all that is wrong.
func (c *configCheckCmd) Run(w *world) error {
	settings, err := loadSettings(c.File, w)
	if err := everyProblem(settings, err); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.out, c.File+" is in order")
	return err
}

// configPrintCmd is "earshot config print".
type configPrintCmd struct{ configFile }

// Run prints what counts: defaults, the file and the environment.
func (c *configPrintCmd) Run(w *world) error {
	settings, err := loadSettings(c.File, w)
	if err != nil {
		return err
	}
	return settings.Print(w.out)
}

// configDocCmd is "earshot config doc".
type configDocCmd struct{}

// Run prints a file that can be edited.
func (*configDocCmd) Run(w *world) error { return config.Document(w.out) }
