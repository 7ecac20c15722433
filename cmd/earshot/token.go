package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/client"
)

// tokenCmd is "earshot token".
type tokenCmd struct {
	Issue   issueCmd   `cmd:"" help:"Sign a token."`
	Inspect inspectCmd `cmd:"" help:"Show what a token says."`
	Key     keyCmd     `cmd:"" help:"Make an app with fresh keys, for the file of settings."`
}

// issueCmd is "earshot token issue".
type issueCmd struct {
	KeyFile   string        `name:"key-file" help:"File with the key: the secret of HS256 as it is, or a private key in PEM. Without it, the key of --dev." placeholder:"FILE"`
	KeyBase64 bool          `name:"key-base64" help:"The file holds the key in base64; a private key needs no saying."`
	KeyID     string        `name:"key-id" help:"The key's id, for the token's kid." placeholder:"ID"`
	Alg       string        `help:"The key's algorithm." default:"HS256"`
	Dev       string        `help:"The dev.json of a development server." default:"earshot-data/dev.json" placeholder:"FILE"`
	For       time.Duration `help:"How long it is valid." default:"1h"`
	Scope     string        `help:"What it is for." default:"connect"`
	UID       string        `name:"uid" help:"The user's id." placeholder:"ID"`

	Subscribe []string `help:"Channels that it may subscribe to; * stands for anything." placeholder:"CHANNEL"`
	Publish   []string `help:"Channels that it may publish to while subscribed." placeholder:"CHANNEL"`
	Store     int64    `help:"Seconds that history shows what it publishes." placeholder:"SECONDS"`
	Claims    string   `help:"Further claims, as a JSON object; they win." placeholder:"JSON"`
}

// Run prints a token.
func (i *issueCmd) Run(w *world) error {
	settings, err := i.settings(w)
	if err != nil {
		return err
	}
	issuer, err := client.NewIssuer(settings)
	if err != nil {
		return err
	}
	claims := client.Claims{Scope: i.Scope, Expires: time.Now().Add(i.For), UID: i.UID, Channels: i.channels()}
	if i.Claims != "" {
		if err := json.Unmarshal([]byte(i.Claims), &claims.Extra); err != nil {
			return fmt.Errorf("--claims is not a JSON object: %w", err)
		}
	}
	token, err := issuer.Issue(claims)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.out, token)
	return err
}

func (i *issueCmd) settings(w *world) (client.Config, error) {
	if i.KeyFile != "" {
		text, err := os.ReadFile(i.KeyFile)
		return client.Config{
			IssuerPrivateKey: strings.TrimRight(string(text), "\r\n"), IssuerPrivateKeyBase64: i.KeyBase64,
			IssuerKeyID: i.KeyID, IssuerKeyAlgorithm: i.Alg,
		}, err
	}
	t := target{Dev: i.Dev}
	found, err := t.find(w)
	if err != nil {
		return client.Config{}, err
	}
	return client.Config{IssuerPrivateKey: found.SigningKey, IssuerKeyID: found.SigningKeyID, IssuerKeyAlgorithm: found.SigningAlg}, nil
}

func (i *issueCmd) channels() map[string]client.ChannelClaims {
	all := map[string]client.ChannelClaims{}
	for _, channel := range i.Subscribe {
		c := all[channel]
		c.Subscribe = client.Allow
		all[channel] = c
	}
	for _, channel := range i.Publish {
		c := all[channel]
		c.Messages = map[string]client.EventClaims{"*": {Publish: client.Allow, Store: i.Store}}
		all[channel] = c
	}
	return all
}

// issue signs claims for a key of our own settings.
func issue(key earshot.SigningKey, claims map[string]any) (string, error) {
	issuer, err := client.NewIssuer(client.Config{IssuerPrivateKey: string(key.Key), IssuerKeyID: key.ID, IssuerKeyAlgorithm: key.Alg})
	if err != nil {
		return "", err
	}
	return issuer.Issue(claims)
}

// inspectCmd is "earshot token inspect".
type inspectCmd struct {
	Token string `arg:"" optional:"" help:"The token; without it, it is read."`
}

// Run prints a token's header and claims. Its signature is not checked.
func (i *inspectCmd) Run(w *world) error {
	token := i.Token
	if token == "" || token == "-" {
		text, err := io.ReadAll(w.in)
		if err != nil {
			return err
		}
		token = string(text)
	}
	header, claims, err := auth.Inspect(strings.TrimSpace(token))
	if err != nil {
		return errors.New(earshot.AsError(err).Text)
	}
	for _, part := range [][]byte{header, claims} {
		var b bytes.Buffer
		if err := json.Indent(&b, part, "", "  "); err != nil {
			return fmt.Errorf("a part of the token is not JSON: %w", err)
		}
		fmt.Fprintln(w.out, b.String())
	}
	_, err = fmt.Fprintln(w.err, validity(claims, time.Now())+"; its signature was not checked")
	return err
}

// validity says in words until when the token is valid.
func validity(claims []byte, now time.Time) string {
	var c struct{ Exp *float64 }
	if err := json.Unmarshal(claims, &c); err != nil || c.Exp == nil {
		return "the token has no exp, so no server takes it"
	}
	at := time.Unix(int64(*c.Exp), 0)
	if !now.Before(at) {
		return "the token expired at " + at.UTC().Format(time.RFC3339)
	}
	return "the token expires at " + at.UTC().Format(time.RFC3339)
}

// keyCmd is "earshot token key".
type keyCmd struct {
	Slug string `arg:"" optional:"" help:"The app's name." default:"main"`
}

// Run prints the app.
func (k *keyCmd) Run(w *world) error {
	_, err := io.WriteString(w.out, appSettings(k.Slug))
	return err
}
