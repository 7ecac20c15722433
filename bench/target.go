package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
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
	t.Token, err = newToken(earshot.SigningKey{ID: f.KeyID, Alg: f.Alg, Key: []byte(f.Key)})
	return t, err
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

// everything are the claims of a token that may do all that the load tool does.
const everything = `{"scope":"connect subscribe","exp":%d,"channels":{"*":{"subscribe":true,"historyStart":0,"messages":{"*":{"broadcast":true}}}}}`

// newToken signs a token for everything, valid for a day.
func newToken(k earshot.SigningKey) (string, error) {
	i, err := auth.NewIssuer(k)
	if err != nil {
		return "", err
	}
	return i.Issue(fmt.Appendf(nil, everything, time.Now().Add(24*time.Hour).Unix()))
}
