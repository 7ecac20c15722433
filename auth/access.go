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
	found := d.accessKeys[id]
	return found.app, found.key
}

func (d *Directory) addAccessKeys(a *earshot.App) error {
	for i := range a.AccessKeys {
		k := &a.AccessKeys[i]
		if !nameable(k.ID) || k.Secret == "" {
			return fmt.Errorf("app %q, access key %d: it needs an id of 1 to 128 letters, digits and _, and a secret", a.Slug, i+1)
		}
		if other, ok := d.accessKeys[k.ID]; ok {
			return fmt.Errorf("the apps %q and %q both have the access key %q", other.app.Slug, a.Slug, k.ID)
		}
		d.accessKeys[k.ID] = access{a, k}
	}
	return nil
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
