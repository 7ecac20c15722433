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
)

// tokenCmd is "earshot token".
type tokenCmd struct {
	Issue   issueCmd   `cmd:"" help:"Sign a token."`
	Inspect inspectCmd `cmd:"" help:"Show what a token says."`
	Key     keyCmd     `cmd:"" help:"Make an app with fresh keys, for the file of settings."`
}

// issueCmd is "earshot token issue".
type issueCmd struct {
	KeyFile string        `name:"key-file" help:"File with the key: the secret of HS256 as it is, or a private key in PEM. Without it, the key of --dev." placeholder:"FILE"`
	KeyID   string        `name:"key-id" help:"The key's id, for the token's kid." placeholder:"ID"`
	Alg     string        `help:"The key's algorithm." default:"HS256"`
	Dev     string        `help:"The dev.json of a development server." default:"earshot-data/dev.json" placeholder:"FILE"`
	For     time.Duration `help:"How long it is valid." default:"1h"`
	Scope   string        `help:"What it is for." default:"connect"`
	UID     string        `name:"uid" help:"The user's id." placeholder:"ID"`

	Subscribe []string `help:"Channels that it may subscribe to; * stands for anything." placeholder:"CHANNEL"`
	Publish   []string `help:"Channels that it may publish to while subscribed." placeholder:"CHANNEL"`
	Store     int64    `help:"Seconds that history shows what it publishes." placeholder:"SECONDS"`
	Claims    string   `help:"Further claims, as a JSON object; they win." placeholder:"JSON"`
}

// Run prints a token.
func (i *issueCmd) Run(w *world) error {
	key, err := i.key(w)
	if err != nil {
		return err
	}
	claims := map[string]any{"scope": i.Scope, "exp": time.Now().Add(i.For).Unix()}
	if i.UID != "" {
		claims["uid"] = i.UID
	}
	if channels := i.channels(); len(channels) > 0 {
		claims["channels"] = channels
	}
	if i.Claims != "" {
		if err := json.Unmarshal([]byte(i.Claims), &claims); err != nil {
			return fmt.Errorf("--claims is not a JSON object: %w", err)
		}
	}
	token, err := issue(key, claims)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.out, token)
	return err
}

func (i *issueCmd) key(w *world) (earshot.SigningKey, error) {
	if i.KeyFile != "" {
		text, err := os.ReadFile(i.KeyFile)
		if err != nil {
			return earshot.SigningKey{}, err
		}
		return earshot.SigningKey{ID: i.KeyID, Alg: i.Alg, Key: bytes.TrimRight(text, "\r\n")}, nil
	}
	t := target{Dev: i.Dev}
	found, err := t.find(w)
	if err != nil {
		return earshot.SigningKey{}, err
	}
	return earshot.SigningKey{ID: found.SigningKeyID, Alg: found.SigningAlg, Key: []byte(found.SigningKey)}, nil
}

func (i *issueCmd) channels() map[string]map[string]any {
	all := map[string]map[string]any{}
	of := func(channel string) map[string]any {
		if all[channel] == nil {
			all[channel] = map[string]any{}
		}
		return all[channel]
	}
	for _, channel := range i.Subscribe {
		of(channel)["subscribe"] = true
	}
	for _, channel := range i.Publish {
		event := map[string]any{"publish": true}
		if i.Store != 0 {
			event["store"] = i.Store
		}
		of(channel)["messages"] = map[string]any{"*": event}
	}
	return all
}

func issue(key earshot.SigningKey, claims map[string]any) (string, error) {
	issuer, err := auth.NewIssuer(key)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return issuer.Issue(text)
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
