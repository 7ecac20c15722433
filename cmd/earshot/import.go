package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/template"
)

// importCmd is "earshot import".
type importCmd struct {
	Template string `arg:"" help:"A CloudFormation or SAM template, in YAML or JSON; - reads standard input."`
	templateFlags
	Endpoint string `help:"A service with Lambda's API that has the functions, instead of running them here." placeholder:"URL"`
	App      string `help:"Print a new app of this slug around them, with its keys." placeholder:"SLUG" xor:"form"`
	JSON     bool   `name:"json" help:"Print them as JSON, for earshot app create --gateway." xor:"form"`
	Out      string `help:"Write to this file, which must not exist, instead of printing." placeholder:"FILE"`
}

// templateFlags are what a template does not say.
type templateFlags struct {
	Set     map[string]string `help:"A parameter of the template, or the address of a resource that is not made here; may be repeated." placeholder:"NAME=VALUE" mapsep:"none"`
	Region  string            `help:"AWS::Region; us-east-1 if not given." placeholder:"REGION"`
	Account string            `help:"AWS::AccountId; 000000000000 if not given." placeholder:"DIGITS"`
	Stack   string            `help:"AWS::StackName, of which ids of APIs come; earshot if not given." placeholder:"NAME"`
}

// Run prints the WebSocket APIs of a template, and on standard error what does not
// behave as on AWS.
func (c *importCmd) Run(w *world) error {
	all, err := c.read(w, c.Template, template.Options{Endpoint: c.Endpoint})
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if c.App != "" {
		text.WriteString(appSettings(c.App))
	}
	if c.JSON {
		err = writeJSON(&text, all)
	} else {
		err = config.WriteGateways(&text, all)
	}
	if err != nil {
		return err
	}
	if c.Out == "" {
		_, err = text.WriteTo(w.out)
		return err
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // there may be keys in it
	if err != nil {
		return err
	}
	_, err = text.WriteTo(f)
	return errors.Join(err, f.Close())
}

// read reads a template and tells of its findings. Code is relative to its
// directory.
func (t *templateFlags) read(w *world, file string, o template.Options) ([]earshot.Gateway, error) {
	text, err := w.readFile(file)
	if err != nil {
		return nil, err
	}
	o.Set, o.Region, o.Account, o.Stack, o.Dir = t.Set, t.Region, t.Account, t.Stack, filepath.Dir(file)
	result, err := template.Read(text, o)
	if err != nil {
		return nil, fmt.Errorf("%s:\n%w", file, err)
	}
	for _, f := range result.Findings {
		fmt.Fprintln(w.err, filepath.Base(file)+": "+f.String())
	}
	if len(result.Gateways) == 0 {
		return nil, fmt.Errorf("%s has no WebSocket API", file)
	}
	return result.Gateways, nil
}

// readFile reads a file, or standard input.
func (w *world) readFile(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(w.in)
	}
	return os.ReadFile(file)
}

func writeJSON(w io.Writer, all []earshot.Gateway) error {
	var shown []client.Gateway
	for i := range all {
		shown = append(shown, client.GatewayOf(&all[i]))
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(shown)
}

// gateways reads the WebSocket APIs of --gateway, nil for none.
func (s *settable) gateways(w *world) ([]client.Gateway, error) {
	var all []client.Gateway
	for _, file := range s.Gateway {
		var these gatewayFile
		if err := w.readJSON(file, &these); err != nil {
			return nil, err
		}
		all = append(all, these...)
	}
	return all, nil
}

// A gatewayFile is one API, or a list of them.
type gatewayFile []client.Gateway

// UnmarshalJSON refuses what means nothing.
func (f *gatewayFile) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("{")) {
		text = append(append([]byte{'['}, text...), ']')
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode((*[]client.Gateway)(f))
}
