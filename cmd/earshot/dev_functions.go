package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/function"
	"github.com/earshot-io/earshot/template"
)

const (
	// devAPI is the id of the API of a directory of functions, devStage its stage.
	devAPI   = "earshotdev"
	devStage = "dev"
)

// templates are the names that a template has in a directory of functions.
func templates() []string {
	return []string{"template.yaml", "template.yml", "template.json"}
}

// gateways are the WebSocket APIs of the template, or of the directory of
// functions: those of the template in it, or one by convention
// (function.FromDirectory).
func (d *devCmd) gateways(w *world) ([]earshot.Gateway, error) {
	if d.Template != "" {
		return d.fromTemplate(w, d.Template)
	}
	if d.Functions == "" {
		if len(d.Set) > 0 {
			return nil, errors.New("--set is for a template: give --template or --functions")
		}
		return nil, nil
	}
	for _, name := range templates() {
		file := filepath.Join(d.Functions, name)
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			return d.fromTemplate(w, file)
		}
	}
	if len(d.Set) > 0 {
		return nil, fmt.Errorf("--set is for a template, and %s has none", d.Functions)
	}
	g, err := function.FromDirectory(d.Functions, devAPI, devStage)
	if err != nil {
		return nil, err
	}
	return trusted(g), nil
}

// fromTemplate reads a template, and says what of it is other than on AWS.
func (d *devCmd) fromTemplate(w *world, file string) ([]earshot.Gateway, error) {
	flags := templateFlags{Set: d.Set, Region: devRegion}
	all, err := flags.read(w, file, template.Options{})
	if err != nil {
		return nil, err
	}
	return trusted(all...), nil
}

// trusted makes APIs those of who starts the server. In events they have the
// name that AWS would give them, so that functions which make an address of it
// reach this server by https, through the proxy that they are given.
func trusted(all ...earshot.Gateway) []earshot.Gateway {
	for i := range all {
		g := &all[i]
		g.Trusted = true
		if g.ManagementDomain == "" && len(g.Hosts) == 0 {
			g.ManagementDomain = g.ID + ".execute-api." + cmp.Or(g.Region, devRegion) + ".amazonaws.com"
		}
	}
	return all
}

// setGateway says where the first WebSocket API is. Its clients and its management
// API have one path, that of the stage.
func (f *devFile) setGateway(all []earshot.Gateway, http, ws string) {
	if len(all) == 0 {
		return
	}
	stage := ""
	if len(all[0].Stages) > 0 {
		stage = all[0].Stages[0].Name
	}
	f.GatewayURL, f.ManagementURL = ws+stage, http+stage
}

// aboutGateway says how to reach the first WebSocket API; nothing if there is none.
func (f *devFile) aboutGateway() string {
	if f.GatewayURL == "" {
		return ""
	}
	return fmt.Sprintf("\nThe functions are behind %s, and post to its connections at %s.\n", f.GatewayURL, f.ManagementURL)
}
