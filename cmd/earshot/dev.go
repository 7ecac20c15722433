package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/tenant"
)

// devCmd is "earshot dev".
type devCmd struct {
	Listen  string `help:"Address and port; 127.0.0.1:8080 if not given." placeholder:"ADDRESS"`
	Data    string `help:"Directory for messages and keys; ./earshot-data if not given." placeholder:"DIR"`
	Verbose bool   `short:"v" help:"Log everything."`

	Functions string            `help:"Directory of Lambda functions, built or in Go, to run behind a WebSocket API; with the template.yaml in it, if there is one." placeholder:"DIR" xor:"functions"`
	Template  string            `help:"CloudFormation or SAM template whose WebSocket APIs and functions to run." placeholder:"FILE" xor:"functions"`
	Set       map[string]string `help:"A parameter of the template, or the address of a resource that is not made here; may be repeated." placeholder:"NAME=VALUE" mapsep:"none"`
}

const (
	devApp    = "dev"
	devData   = "earshot-data"
	devListen = "127.0.0.1:8080"
	// devKeys is the file in the data directory that holds the app with its keys,
	// as `earshot serve` would read it.
	devKeys = "earshot.toml"
	// devTokenFor is how long the printed token is valid.
	devTokenFor = 24 * time.Hour
	// devRegion is one that every AWS SDK accepts; no region means anything here.
	devRegion = "us-east-1"
)

// A devFile is what a development server writes about itself, for other
// programs.
type devFile struct {
	URL          string `json:"url"`
	WSURL        string `json:"ws_url"`
	App          string `json:"app"`
	PublishKey   string `json:"publish_key"`
	SigningKeyID string `json:"signing_key_id"`
	SigningAlg   string `json:"signing_alg"`
	SigningKey   string `json:"signing_key"`
	Token        string `json:"token"`
	// What a publisher through AWS Lambda is configured with, besides the URL as
	// its endpoint. Empty if the app has no access key.
	FunctionARN     string `json:"function_arn"`
	AccessKeyID     string `json:"aws_access_key_id"`
	SecretAccessKey string `json:"aws_secret_access_key"`
	Region          string `json:"aws_region"`
	// AdminUser and AdminPassword are the operator's, who may make and change apps.
	AdminUser     string `json:"admin_user"`
	AdminPassword string `json:"admin_password"`
	// NotifluxPrivateKey signs tokens for notiflux's clients and publishers, with
	// ES256; it is in PEM.
	NotifluxPrivateKey string `json:"notiflux_private_key"`
	// GatewayURL is where clients of the first WebSocket API connect, ManagementURL
	// the endpoint of its management API; empty if there is none.
	GatewayURL    string `json:"gateway_url"`
	ManagementURL string `json:"management_url"`
	PID           int    `json:"pid"`
}

// Run starts the server and says how to use it.
func (d *devCmd) Run(w *world) error {
	c, err := d.settings(w)
	if err != nil {
		return err
	}
	gateways, err := d.gateways(w)
	if err != nil {
		return err
	}
	private, err := ensureNotiflux(c, c.Engine.Data)
	if err != nil {
		return err
	}
	tenants, err := c.Tenants()
	if err != nil {
		return err
	}
	file, err := newDevFile(tenants[0])
	if err != nil {
		return err
	}
	file.NotifluxPrivateKey = private
	file.AdminUser, file.AdminPassword = c.Admin.User, string(c.Admin.Password)
	a, err := app.New(c, app.Options{
		Log: newLog(c, w.err), Gateways: map[string][]earshot.Gateway{file.App: gateways}, Dev: &app.Dev{App: file.App, Token: file.Token, PublishKey: file.PublishKey},
		Seeds: []*tenant.Draft{testApp()},
	})
	if err != nil {
		return err
	}
	return w.runServer(a, func() error {
		file.setAddress(a, gateways)
		path := filepath.Join(c.Engine.Data, "dev.json")
		if err := file.write(path); err != nil {
			return err
		}
		return file.welcome(w, path)
	})
}

// settings are those of a server that is alone on its machine, then those of
// the file of keys, the environment and the flags.
func (d *devCmd) settings(w *world) (*config.Config, error) {
	c := config.Default()
	c.Server.Listen = devListen
	c.Server.DrainWait, c.Server.DrainSpread = 0, 0
	c.Limits = config.Limits{Handshakes: c.Limits.Handshakes}
	c.Log.Level = "warn"
	c.Engine.Data = devData
	data := cmp.Or(d.Data, w.env.Get("EARSHOT_ENGINE_DATA"), devData)
	keys, err := ensureKeys(data, w.env)
	if err != nil {
		return nil, err
	}
	if err := c.Load(keys, w.env); err != nil {
		return nil, err
	}
	c.Engine.Data = data
	c.Server.Listen = cmp.Or(d.Listen, c.Server.Listen)
	switch {
	case d.Verbose:
		c.Log.Level = "debug"
	case d.Functions != "" || d.Template != "":
		c.Log.Level = "info" // what functions print is told at this level
	}
	return c, d.operate(c)
}

// ensureKeys makes the app's keys if the directory has none yet. They are kept,
// so that tokens survive a restart.
func ensureKeys(data string, env config.Environment) (path string, err error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	path = filepath.Join(data, devKeys)
	_, err = os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, writeFile(path, []byte(appSettings(devApp)))
	}
	if err != nil {
		return path, err
	}
	return path, ensureAccessKey(path, env)
}

// ensureAccessKey adds an access key to the one app of a file of an older version.
func ensureAccessKey(path string, env config.Environment) error {
	c := config.Default()
	if c.Load(path, env) != nil || len(c.Apps) != 1 || len(c.Apps[0].AccessKeys) > 0 {
		return nil // what is wrong with the file is told when it is used
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return writeFile(path, append(text, accessSettings()...))
}

// appSettings is an app with fresh keys, as it stands in a file of settings.
func appSettings(slug string) string {
	return fmt.Sprintf(`# The application %[1]s with its keys: keep this file to yourself.

[[apps]]
slug = %[1]q
publish_keys = [%[2]q]

[[apps.signing_keys]]
id = %[3]q
alg = "HS256"
key = %[4]q # base64 of the secret that tokens are signed with
%[5]s`, slug, auth.NewPublishKey(), slug+"-1", base64.StdEncoding.EncodeToString([]byte(auth.NewSecret())), accessSettings())
}

// accessSettings is a fresh access key of the app that stands before it.
func accessSettings() string {
	k := auth.NewAccessKey()
	return fmt.Sprintf(`
[[apps.access_keys]] # for publishers through AWS Lambda's API
id = %q
secret = %q
`, k.ID, k.Secret)
}

// newDevFile describes an app's keys, and issues the token.
func newDevFile(a *earshot.App) (*devFile, error) {
	f := &devFile{App: a.Slug, PID: os.Getpid()}
	if len(a.PublishKeys) > 0 {
		f.PublishKey = a.PublishKeys[0]
	}
	if len(a.AccessKeys) > 0 {
		f.AccessKeyID, f.SecretAccessKey, f.Region = a.AccessKeys[0].ID, a.AccessKeys[0].Secret, devRegion
		f.FunctionARN = "arn:aws:lambda:" + devRegion + ":000000000000:function:earshot-" + a.Slug
	}
	for _, k := range a.SigningKeys {
		if k.Alg != "HS256" {
			continue
		}
		f.SigningKeyID, f.SigningAlg, f.SigningKey = k.ID, k.Alg, string(k.Key)
		var err error
		f.Token, err = issue(k, devClaims(time.Now()))
		return f, err
	}
	return nil, fmt.Errorf("the app %q has no signing key for HS256, so that no token can be issued", a.Slug)
}

// devClaims let the user "dev" do everything on every channel.
func devClaims(now time.Time) map[string]any {
	until := now.Add(devTokenFor).Unix()
	events := map[string]any{
		"publish": true, "broadcast": true, "echo": true, "store": 3600, "react": true, "emitPubSubEvent": true, "scheduleBefore": until,
	}
	entries := map[string]any{"observe": true, "get": true, "set": true, "emitPubSubEvent": true, "scheduleBefore": until}
	return map[string]any{
		"scope": "connect subscribe", "exp": until, "uid": "dev",
		"channels": map[string]any{"*": map[string]any{
			"subscribe": true, "getInfo": true, "historyStart": 0,
			"messages": map[string]any{"*": events}, "storage": map[string]any{"*": entries},
		}},
	}
}

// setAddress says where the server can be reached from its own machine.
func (f *devFile) setAddress(a *app.App, gateways []earshot.Gateway) {
	host, port, err := net.SplitHostPort(a.Addr().String())
	if err != nil {
		host = a.Addr().String() // cannot be: it is a TCP address
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	at := net.JoinHostPort(host, port)
	f.URL = "http://" + at + "/"
	ws := "ws://" + at + "/"
	if a.Secure() {
		f.URL, ws = "https://"+at+"/", "wss://"+at+"/"
	}
	f.WSURL = ws + "v1"
	f.setGateway(gateways, f.URL, ws)
}

func (f *devFile) write(path string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'))
}

// writeFile writes a file that only we may read, all or nothing.
func writeFile(path string, text []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // is gone by then if all went well
	_, err = temp.Write(text)
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// welcome prints what to do next.
func (f *devFile) welcome(w *world, path string) error {
	flag := ""
	if path != filepath.Join(devData, "dev.json") {
		flag = " --dev " + shellQuote(path)
	}
	_, err := fmt.Fprintf(w.out, `Earshot is running. Open the page and press Publish:

  %[1]s

Or listen in another terminal:

  %[2]s subscribe%[3]s hello

and publish:

  curl %[1]spublish -H 'Authorization: Bearer %[4]s' -d '{"channel":"hello","event":"greeting","data":"Hello"}'

Clients connect to %[5]s?token=TOKEN. This one may do everything, until %[6]s:

  %[7]s
%[9]s
The same as JSON is in %[8]s. Ctrl-C stops.
`, f.URL, w.name, flag, f.PublishKey, f.WSURL, time.Now().Add(devTokenFor).Format("Mon 15:04"), f.Token, path, f.aboutGateway())
	return err
}
