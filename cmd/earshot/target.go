package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// A target is the server that a command talks to: the one of --url, or a
// development server by its dev.json.
type target struct {
	URL string `help:"The server's address, as in https://example.com." env:"EARSHOT_URL" placeholder:"URL"`
	Dev string `help:"The dev.json of a development server, if there is no --url." default:"earshot-data/dev.json" placeholder:"FILE"`
}

// find returns the server's addresses and, of a development server, its keys.
func (t *target) find(w *world) (*devFile, error) {
	if t.URL != "" {
		ws, ok := strings.CutPrefix(t.URL, "http")
		if !ok {
			return nil, fmt.Errorf("%s does not begin with http:// or https://", t.URL)
		}
		return &devFile{URL: t.URL, WSURL: "ws" + strings.TrimSuffix(ws, "/") + "/v1"}, nil
	}
	text, err := os.ReadFile(t.Dev)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: start `%s dev` here, or say --url", t.Dev, w.name)
	}
	if err != nil {
		return nil, err
	}
	f := &devFile{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Dev, err)
	}
	return f, nil
}

// secret is a key or token: the one of a flag, else the one of dev.json.
func secret(given, found, what string) (string, error) {
	if s := cmp.Or(given, found); s != "" {
		return s, nil
	}
	return "", fmt.Errorf("%s is needed with --url", what)
}

// shellQuote quotes a word for a shell if it has to be.
func shellQuote(s string) string {
	plain := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
