package bench

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"
)

// A Target is a server to be measured.
type Target struct {
	// URL is where it answers HTTP, WSURL where it upgrades. Either may be empty:
	// nothing is then published over HTTP, or WSURL is URL with /v1.
	URL, WSURL string
	// PublishKey is a bearer key for POST /publish.
	PublishKey string
	// Token connects, subscribes to every channel that is used, and publishes
	// there without a subscription.
	Token string
	// PID is the server's process on this machine, 0 if it is elsewhere or not
	// known: CPU and memory are then what its /metrics say.
	PID int
}

// devFile is what a development server writes about itself.
type devFile struct {
	URL        string `json:"url"`
	WSURL      string `json:"ws_url"`
	PublishKey string `json:"publish_key"`
	KeyID      string `json:"signing_key_id"`
	Alg        string `json:"signing_alg"`
	Key        string `json:"signing_key"`
	Token      string `json:"token"`
	PID        int    `json:"pid"`
}

// DevTarget reads the dev.json of a development server. The token is one made
// with its signing key, if that is a secret for HS256, else the one in the file.
func DevTarget(path string) (*Target, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f devFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t := &Target{URL: f.URL, WSURL: f.WSURL, PublishKey: f.PublishKey, Token: f.Token, PID: f.PID}
	if f.Alg != "HS256" || f.Key == "" {
		return t, nil
	}
	secret, err := base64.StdEncoding.DecodeString(f.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: signing_key is not base64: %w", path, err)
	}
	t.Token = newToken(f.KeyID, secret)
	return t, nil
}

// complete fills in what follows from the rest.
func (t *Target) complete() error {
	if t.WSURL != "" {
		return nil
	}
	u, err := url.Parse(t.URL)
	if err != nil {
		return err
	}
	if u.Scheme != "http" {
		return errors.New("the server's URL must begin with http://")
	}
	u.Scheme, u.Path = "ws", "/v1"
	t.WSURL = u.String()
	return nil
}

// newToken signs a token for HS256 that may do everything the load tool does.
func newToken(kid string, secret []byte) string {
	part := func(v any) string {
		b, _ := json.Marshal(v) // maps of strings and the like
		return base64.RawURLEncoding.EncodeToString(b)
	}
	head := map[string]string{"alg": "HS256", "typ": "JWT"}
	if kid != "" {
		head["kid"] = kid
	}
	everything := map[string]any{"*": map[string]any{"subscribe": true, "messages": map[string]any{"*": map[string]bool{"broadcast": true}}}}
	text := part(head) + "." + part(map[string]any{
		"scope": "connect subscribe", "exp": time.Now().Add(24 * time.Hour).Unix(), "channels": everything,
	})
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
