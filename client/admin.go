package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Admin makes and changes apps while the server runs, as its operator. Its fields
// are set before use. It is safe for concurrent use.
//
// Its methods fail with an *Error: APP_NOT_FOUND, REVISION for an app that was
// changed since it was read, and others that say what is wrong.
type Admin struct {
	// URL is the server's, as in http://127.0.0.1:8080.
	URL string
	// User and Password are the operator's; Token may be there instead.
	User, Password, Token string
	// HTTPClient makes the requests; without it, the standard one does.
	HTTPClient *http.Client
}

// An App is an application. Its secrets are only in the answer to who makes them,
// and in what Export returns; keep it out of logs.
type App struct {
	ID           int64         `json:"id,omitzero"`
	Slug         string        `json:"slug,omitempty"`
	Name         string        `json:"name,omitempty"`
	Key          string        `json:"key,omitempty"`
	Active       bool          `json:"active"`
	Hosts        []string      `json:"hosts,omitempty"`
	Origins      []string      `json:"origins,omitempty"`
	Audience     string        `json:"audience,omitempty"`
	Issuer       string        `json:"issuer,omitempty"`
	ExpiryCloses bool          `json:"expiryCloses,omitzero"`
	Channels     []ChannelRule `json:"channels,omitempty"`
	Limits       *AppLimits    `json:"limits,omitempty"`
	Owners       []string      `json:"owners,omitempty"`
	RequireTLS   bool          `json:"requireTls,omitzero"`
	KeySigned    bool          `json:"keySigned,omitzero"`
	Replay       *AppReplay    `json:"replay,omitempty"`
	Gateways     []Gateway     `json:"gateways,omitempty"`
	PublishKeys  []PublishKey  `json:"publishKeys,omitempty"`
	SigningKeys  []SigningKey  `json:"signingKeys,omitempty"`
	AccessKeys   []AccessKey   `json:"accessKeys,omitempty"`
	Secrets      []AppSecret   `json:"secrets,omitempty"`
	Created      time.Time     `json:"created,omitzero"`
	Updated      time.Time     `json:"updated,omitzero"`
	Revision     uint64        `json:"revision,omitzero"`
	// Problem says in a list why an active app is not served.
	Problem string `json:"problem,omitempty"`
}

// A ChannelRule says what the channels that match are; the first counts.
type ChannelRule struct {
	Match      string   `json:"match"`
	Live       bool     `json:"live,omitzero"`
	Depth      int      `json:"depth,omitzero"`
	BeforeDisk bool     `json:"beforeDisk,omitzero"`
	Open       []string `json:"open,omitempty"`
}

// AppLimits bound what an app uses, on each node; 0 is no limit. Rates are
// messages a second, of one connection and of the app's servers.
type AppLimits struct {
	Connections  int     `json:"connections,omitzero"`
	Channels     int     `json:"channels,omitzero"`
	MessageBytes int     `json:"messageBytes,omitzero"`
	ClientRate   float64 `json:"clientRate,omitzero"`
	ServerRate   float64 `json:"serverRate,omitzero"`
}

// An AppReplay says what a new subscriber hears of what was said before, where
// its protocol has no history: up to Size messages of the last Seconds.
type AppReplay struct {
	Size    int `json:"size"`
	Seconds int `json:"seconds"`
}

// A PublishKey is one that may publish; Sum is the SHA-256 of it in hex.
type PublishKey struct {
	ID  string `json:"id,omitempty"`
	Key string `json:"key,omitempty"`
	Sum string `json:"sum,omitempty"`
}

// A SigningKey verifies tokens: with Secret, in base64, for HMAC, else with
// PublicKey in PEM.
type SigningKey struct {
	ID        string `json:"id,omitempty"`
	Alg       string `json:"alg"`
	Secret    string `json:"secret,omitempty"`
	PublicKey string `json:"publicKey,omitempty"`
}

// An AccessKey signs requests with AWS Signature Version 4.
type AccessKey struct {
	ID     string   `json:"id"`
	Secret string   `json:"secret,omitempty"`
	Allow  []string `json:"allow,omitempty"`
}

// An AppSecret is one that the app's server and this one share.
type AppSecret struct {
	ID     string `json:"id"`
	Secret string `json:"secret,omitempty"`
}

// An AppChange is what Update changes: what is nil stays.
type AppChange struct {
	Name           *string        `json:"name,omitempty"`
	Active         *bool          `json:"active,omitempty"`
	Hosts          *[]string      `json:"hosts,omitempty"`
	Origins        *[]string      `json:"origins,omitempty"`
	Audience       *string        `json:"audience,omitempty"`
	Issuer         *string        `json:"issuer,omitempty"`
	ExpiryCloses   *bool          `json:"expiryCloses,omitempty"`
	Channels       *[]ChannelRule `json:"channels,omitempty"`
	Limits         *LimitsChange  `json:"limits,omitempty"`
	Owners         *[]string      `json:"owners,omitempty"`
	RequireTLS     *bool          `json:"requireTls,omitempty"`
	KeySigned      *bool          `json:"keySigned,omitempty"`
	Replay         *ReplayChange  `json:"replay,omitempty"`
	Gateways       *[]Gateway     `json:"gateways,omitempty"`
	AddSigningKeys []SigningKey   `json:"addSigningKeys,omitempty"`
	AddPublishKeys []PublishKey   `json:"addPublishKeys,omitempty"`
	AddAccessKeys  []AccessKey    `json:"addAccessKeys,omitempty"`
	RemoveKeys     []string       `json:"removeKeys,omitempty"`
}

// A LimitsChange is what changes of an app's limits: what is nil stays.
type LimitsChange struct {
	Connections  *int     `json:"connections,omitempty"`
	Channels     *int     `json:"channels,omitempty"`
	MessageBytes *int     `json:"messageBytes,omitempty"`
	ClientRate   *float64 `json:"clientRate,omitempty"`
	ServerRate   *float64 `json:"serverRate,omitempty"`
}

// A ReplayChange is what changes of an app's replay: what is nil stays; both 0
// is none.
type ReplayChange struct {
	Size    *int `json:"size,omitempty"`
	Seconds *int `json:"seconds,omitempty"`
}

// An AuditEntry is one action of an operator, the app before and after without
// secrets. Outcome is "done", a word for an error, or "begun" if the server died
// in between.
type AuditEntry struct {
	ID            string
	At            time.Time
	By            struct{ Name, Address string }
	Action, App   string
	Before, After *App
	Outcome       string
}

type appAnswer struct{ App *App }

// Create makes an app; keys that are not given are made. Reuse takes the slug of
// an app that was deleted, and with it what is stored on that one's channels.
func (a *Admin) Create(ctx context.Context, app *App, reuse bool) (*App, error) {
	asked := struct {
		*App
		Reuse bool `json:"reuse,omitzero"`
	}{app, reuse}
	var got appAnswer
	err := a.call(ctx, http.MethodPost, "/admin/apps", asked, &got)
	return got.App, err
}

// List returns a page of apps in the order of their slugs, those after a slug;
// empty for the first. More says whether there are others, after last.
func (a *Admin) List(ctx context.Context, after string) (all []App, last string, more bool, err error) {
	var got struct {
		Apps []App
		Last string
		More bool
	}
	err = a.call(ctx, http.MethodGet, "/admin/apps?"+url.Values{"after": {after}}.Encode(), nil, &got)
	return got.Apps, got.Last, got.More, err
}

// Show returns an app without secrets.
func (a *Admin) Show(ctx context.Context, slug string) (*App, error) {
	return a.one(ctx, http.MethodGet, slug, "", 0, nil)
}

// Update changes an app. A revision that is not 0 must be the app's.
func (a *Admin) Update(ctx context.Context, slug string, change *AppChange, revision uint64) (*App, error) {
	return a.one(ctx, http.MethodPatch, slug, "", revision, change)
}

// Rotate makes a new secret of a kind, publishKey, signingKey, accessKey or
// secret, beside the newest one; it comes first, and with its secret. With finish
// it makes none, and takes away all but the newest.
func (a *Admin) Rotate(ctx context.Context, slug, kind string, finish bool) (*App, error) {
	return a.one(ctx, http.MethodPost, slug, "/rotate", 0, map[string]any{"kind": kind, "finish": finish})
}

// Export returns an app with its secrets, for Create.
func (a *Admin) Export(ctx context.Context, slug string) (*App, error) {
	return a.one(ctx, http.MethodPost, slug, "/export", 0, nil)
}

// Delete ends an app and closes its connections. A revision that is not 0 must be
// the app's.
func (a *Admin) Delete(ctx context.Context, slug string, revision uint64) error {
	return a.call(ctx, http.MethodDelete, appPath(slug, "", revision), nil, nil)
}

// Audit returns a page of what operators did, the newest first, what comes after
// an id; empty for the first.
func (a *Admin) Audit(ctx context.Context, after string) (all []AuditEntry, more bool, err error) {
	var got struct {
		Entries []AuditEntry
		More    bool
	}
	err = a.call(ctx, http.MethodGet, "/admin/audit?"+url.Values{"after": {after}}.Encode(), nil, &got)
	return got.Entries, got.More, err
}

func appPath(slug, rest string, revision uint64) string {
	path := "/admin/apps/" + url.PathEscape(slug) + rest
	if revision != 0 {
		path += "?revision=" + strconv.FormatUint(revision, 10)
	}
	return path
}

func (a *Admin) one(ctx context.Context, method, slug, rest string, revision uint64, asked any) (*App, error) {
	var got appAnswer
	err := a.call(ctx, method, appPath(slug, rest, revision), asked, &got)
	return got.App, err
}

func (a *Admin) call(ctx context.Context, method, path string, asked, answer any) error {
	authorization := "Bearer " + a.Token
	if a.Token == "" {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(a.User, a.Password)
		authorization = r.Header.Get("Authorization")
	}
	return callAs(ctx, a.HTTPClient, method, strings.TrimSuffix(a.URL, "/")+path, authorization, asked, answer)
}
