package tenant

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Keyring holds master keys: the first encrypts, all decrypt. A nil Keyring
// holds none. It is safe for concurrent use.
type Keyring struct {
	first string
	keys  map[string]cipher.AEAD // by id
}

// NewMasterKey draws a master key: 32 bytes in base64.
func NewMasterKey() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, by its contract
	return base64.StdEncoding.EncodeToString(b)
}

// NewKeyring reads master keys: each 32 bytes in base64, with commas or blanks
// between. Of an empty text it makes nil. Its error holds nothing of the keys.
func NewKeyring(text string) (*Keyring, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
	if len(words) == 0 {
		return nil, nil
	}
	k := &Keyring{keys: map[string]cipher.AEAD{}}
	for i, w := range words {
		raw, err := base64.StdEncoding.DecodeString(w)
		if err != nil || len(raw) != 32 {
			return nil, fmt.Errorf("master key %d is not 32 bytes in base64", i+1)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		// The id is derived, so that the same key has the same one on every node.
		sum := sha256.Sum256(append([]byte("earshot master key\x00"), raw...))
		id := hex.EncodeToString(sum[:4])
		k.keys[id] = aead
		if i == 0 {
			k.first = id
		}
	}
	return k, nil
}

// The parts of a sealed text: its form, the id of the key, and what the key made.
const sealedForm = "v1"

var errNoMasterKey = &earshot.Error{
	Code: earshot.Invalid, Reason: "MASTER_KEY_MISSING",
	Text: "secrets that the server has to use are kept encrypted, and it has no master key: set admin.master_key or EARSHOT_MASTER_KEY",
}

// seal encrypts a secret that belongs to owner.
func (k *Keyring) seal(secret Secret, owner string) (string, error) {
	if k == nil {
		return "", errNoMasterKey
	}
	b := k.keys[k.first].Seal(nil, nil, []byte(secret), []byte(owner))
	return sealedForm + "." + k.first + "." + base64.RawURLEncoding.EncodeToString(b), nil
}

// open decrypts what seal made for the same owner.
func (k *Keyring) open(text, owner string) (Secret, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != sealedForm {
		return "", errors.New("an encrypted secret is not of the form that is known")
	}
	if k == nil {
		return "", fmt.Errorf("a secret is encrypted with the master key %s, and there is no master key here", parts[1])
	}
	aead := k.keys[parts[1]]
	if aead == nil {
		return "", fmt.Errorf("a secret is encrypted with the master key %s, which is not here", parts[1])
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return "", errors.New("an encrypted secret is not base64")
	}
	plain, err := aead.Open(nil, nil, b, []byte(owner))
	if err != nil {
		return "", errors.New("an encrypted secret was changed, or belongs to another app")
	}
	return Secret(plain), nil
}

// Reveal writes an app with its secrets, as JSON: for who made them or exports.
func Reveal(v any) ([]byte, error) {
	return json.Marshal(v, json.WithMarshalers(json.MarshalToFunc(func(e *jsontext.Encoder, s Secret) error {
		return e.WriteToken(jsontext.String(string(s)))
	})))
}

// A stored is the record of an app.
type stored struct {
	App *App `json:"app,omitempty"`
	// Deleted says that there was an app. To is the slug that it has now, empty if
	// it is gone.
	Deleted bool   `json:"deleted,omitzero"`
	To      string `json:"to,omitempty"`
	// From says that the app is moving here; see Rename.
	From *arrival `json:"from,omitempty"`
	// Dry says that nothing can be stored under the slug; see App.isDry.
	Dry bool `json:"dry,omitzero"`
}

func owner(slug string) string { return "app/" + slug }

// encode makes the record's data: secrets are sealed, but for digests.
func (k *Keyring) encode(s *stored, slug string) ([]byte, error) {
	if s.App != nil {
		c := *s
		c.App = s.App.clone()
		c.App.Revision = 0
		s = &c
		for i := range s.App.PublishKeys {
			s.App.PublishKeys[i].Key = ""
		}
	}
	err := s.each(func(v Secret) (Secret, error) {
		text, err := k.seal(v, owner(slug))
		return Secret(text), err
	})
	if err != nil {
		return nil, err
	}
	data, err := Reveal(s)
	if err == nil && len(data) > MaxSize {
		return nil, &earshot.Error{Code: earshot.TooLarge, Reason: "APP_TOO_LARGE", Text: "an app may have 64 KiB"}
	}
	return data, err
}

// decode reads what encode made.
func (k *Keyring) decode(data []byte, slug string) (*stored, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, errors.New("the record is not understood")
	}
	if s.App == nil && !s.Deleted || s.App != nil && s.App.Slug != slug {
		return nil, errors.New("the record is not of this app")
	}
	return &s, s.each(func(v Secret) (Secret, error) { return k.open(string(v), owner(slug)) })
}

// each replaces every secret that has to be used.
func (s *stored) each(f func(Secret) (Secret, error)) (err error) {
	if s.App == nil {
		return nil
	}
	replace := func(v *Secret) {
		if err == nil && *v != "" {
			*v, err = f(*v)
		}
	}
	for i := range s.App.SigningKeys {
		replace(&s.App.SigningKeys[i].Secret)
	}
	for i := range s.App.AccessKeys {
		replace(&s.App.AccessKeys[i].Secret)
	}
	for i := range s.App.Secrets {
		replace(&s.App.Secrets[i].Secret)
	}
	for i := range s.App.Gateways {
		s.App.Gateways[i].secrets(replace)
	}
	return err
}
