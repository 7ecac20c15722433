package auth

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/earshot-io/earshot"
)

// An access is a key of an app.
type access struct {
	app *earshot.App
	key *earshot.AccessKey
}

// ByAccessKey returns the access key of an id and its app, nil if there is none.
func (d *Directory) ByAccessKey(id string) (*earshot.App, *earshot.AccessKey) {
	found := d.now.Load().accessKeys[id]
	return found.app, found.key
}

// accessKeys are the app's, each checked.
func accessKeys(a *earshot.App) (map[string]access, error) {
	all := make(map[string]access, len(a.AccessKeys))
	for i := range a.AccessKeys {
		k := &a.AccessKeys[i]
		if !nameable(k.ID) || k.Secret == "" {
			return nil, fmt.Errorf("app %q, access key %d: it needs an id of 1 to 128 letters, digits and _, and a secret", a.Slug, i+1)
		}
		if _, ok := all[k.ID]; ok {
			return nil, fmt.Errorf("the apps %q and %q both have the access key %q", a.Slug, a.Slug, k.ID)
		}
		all[k.ID] = access{a, k}
	}
	return all, nil
}

// nameable reports whether a signature can name an access key so: AWS has the
// same letters.
func nameable(id string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	return id != "" && len(id) <= 128 && strings.Trim(id, letters) == ""
}

// NewAccessKey draws an access key: an id of 20 letters and digits, which is no
// secret, and a secret of 40, which holds 238 bits.
func NewAccessKey() earshot.AccessKey {
	return earshot.AccessKey{ID: "EK" + rand.Text()[:18], Secret: NewPublishKey()}
}
