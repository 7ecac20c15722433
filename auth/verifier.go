package auth

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/earshot-io/earshot"
)

// MaxToken is how many bytes a token may have.
const MaxToken = 8 << 10

// cacheFor is the longest that a verified token is taken for granted, and
// cacheTokens how many are remembered at least while they are in use.
const (
	cacheFor    = 5 * time.Minute
	cacheTokens = 2048
)

// A Spender remembers what may be used once, on all nodes and over restarts.
type Spender interface {
	// Spend reports whether jti is spent for the first time in app. What it
	// answers true to is on disk; it is remembered until then.
	Spend(ctx context.Context, app, jti string, until time.Time) (first bool, err error)
}

// A Token is a verified token. It is shared by all who showed the same one, and
// never changed.
type Token struct {
	// App is the application whose key signed it.
	App *earshot.App
	// ID is the jti claim, empty if there is none or it is not a string.
	ID string
	// Alg is the algorithm that it is signed with.
	Alg string
	// Expires is the exp claim, NotBefore the nbf claim and Issued the iat claim,
	// zero if there is none.
	Expires, NotBefore, Issued time.Time
	// Value is what the protocol's Reader made of the claims.
	Value any
}

// A Reader is how one protocol reads claims. Its pointer is its identity: what
// it made of a token is kept and shared, so it is made once per protocol.
type Reader struct {
	// Read makes a protocol's own value of the claims: one JSON object in valid
	// UTF-8 in which each name occurs once, at every level. It must not keep
	// claims, which are large, and what it returns is shared and never changed.
	// t has no Value yet.
	Read func(t *Token, claims []byte) (any, error)
	// Leeway is by how much the clock may be wrong: a token still counts so long
	// after its exp, and so long before its nbf. Early says that nbf does not count
	// at all: for protocols whose tokens have always been judged so.
	Leeway time.Duration
	Early  bool
	// Shared says that what the app shares with its servers signs tokens too: its
	// Secrets, both of two, and its Key where it accepts that (App.KeySigned), with
	// HS256, HS384 or HS512. Issued says that a token whose iat lies in the future,
	// beyond the leeway, does not count.
	Shared, Issued bool
}

// A Verifier verifies tokens against the keys of the apps in a Directory. It is
// safe for concurrent use.
//
// One signing key is tried per token. It is chosen by the header's kid: the key of that
// id; else, since a key without an id accepts any kid, the first such key whose
// algorithm the token names, else the first such key. A token without a kid
// fits keys without an id only. For a Reader that wants them, the app's shared
// keys are tried then, the newest first.
//
// The clock is compared as it is, without leeway but for a Reader's: exp must lie
// in the future and nbf must not. The iat claim is looked at for a Reader only.
type Verifier struct {
	apps    *Directory
	spender Spender
	cache   cache
	refused func(*earshot.App) // nil if nobody counts
}

// NewVerifier makes a verifier.
func NewVerifier(apps *Directory, spender Spender) *Verifier {
	return &Verifier{apps: apps, spender: spender}
}

// CountRefusals calls f with the app of every token that is refused, nil where
// none is known; f must not block. It is called before the verifier is used.
func (v *Verifier) CountRefusals(f func(*earshot.App)) { v.refused = f }

// Verify verifies a token. Its app is the one that has a key of the token's
// kid; else hint, which the host or path selected; else the default app. What r
// made of the claims is the Token's Value.
//
// It fails with Unauthenticated, or as r does. The texts of its errors are safe
// to show; no error holds the token.
func (v *Verifier) Verify(token string, hint *earshot.App, r *Reader) (*Token, error) {
	h, err := parseHeader(token)
	if err != nil {
		return nil, v.blame(hint, token, err)
	}
	apps := v.apps.now.Load()
	app := apps.keyIDs[h.kid]
	if app == nil || h.kid == "" {
		app = hint
	}
	if app == nil {
		app = apps.first()
	}
	t, err := v.verify(apps, token, h, app, r)
	return t, v.blame(app, token, err)
}

// blame tells of a token that was refused, and returns why.
func (v *Verifier) blame(app *earshot.App, token string, err error) error {
	if err != nil && token != "" && v.refused != nil && earshot.CodeOf(err) == earshot.Unauthenticated {
		v.refused(app)
	}
	return err
}

// VerifyIn verifies a token that only the keys of app may have signed: one that
// is shown on a connection whose app is settled.
func (v *Verifier) VerifyIn(app *earshot.App, token string, r *Reader) (*Token, error) {
	h, err := parseHeader(token)
	if err != nil {
		return nil, v.blame(app, token, err)
	}
	t, err := v.verify(v.apps.now.Load(), token, h, app, r)
	return t, v.blame(app, token, err)
}

// verify tries the signing key that fits, and then what the app shares, if the
// reader wants that.
func (v *Verifier) verify(apps *snapshot, token string, h header, app *earshot.App, r *Reader) (*Token, error) {
	if app == nil {
		return nil, errNoKey()
	}
	err := errNoKey()
	if k, now := apps.key(app, h); k != nil {
		var t *Token
		if t, err = v.try(k, token, h, now, r); err == nil || !othersMay(err) {
			return t, err
		}
	}
	if r == nil || !r.Shared {
		return nil, err
	}
	shared, now := apps.sharedOf(app)
	for _, k := range shared {
		var t *Token
		if t, err = v.try(k, token, h, now, r); err == nil || !othersMay(err) {
			return t, err
		}
	}
	return nil, err
}

func errNoKey() error { return refused("TOKEN_KEY", "no key fits the token's kid") }

// othersMay reports whether another key may verify what one has refused.
func othersMay(err error) bool {
	switch earshot.AsError(err).Reason {
	case "TOKEN_KEY", "TOKEN_ALG", "TOKEN_SIGNATURE":
		return true
	}
	return false
}

// try verifies a token with one key of an app.
func (v *Verifier) try(k *key, token string, h header, app *earshot.App, r *Reader) (*Token, error) {
	now := time.Now()
	name := cached{key: k, reader: r, sum: sha256.Sum256([]byte(token))}
	if t := v.cache.get(name, now); t != nil {
		if err := t.check(now, r); err != nil {
			return nil, err
		}
		return t, nil
	}
	if k.alg == "" {
		var err error
		if k, err = k.anyHash(h); err != nil {
			return nil, err
		}
	}
	payload, err := k.verify(token, h)
	if err != nil {
		return nil, err
	}
	t, err := read(app, k.alg, payload, now, r)
	if err != nil {
		return nil, err
	}
	v.cache.put(name, t, now)
	return t, nil
}

// read judges the payload of a signature that is right.
func read(app *earshot.App, alg string, payload []byte, now time.Time, r *Reader) (*Token, error) {
	claims, err := Fold(payload)
	if err != nil {
		return nil, refused("TOKEN_CLAIMS", "the token's claims are not one JSON object in UTF-8")
	}
	t, err := registered(app, claims)
	if err != nil {
		return nil, err
	}
	t.Alg = alg
	if err := t.check(now, r); err != nil {
		return nil, err
	}
	if r == nil {
		return t, nil
	}
	t.Value, err = r.Read(t, claims)
	return t, err
}

// check compares the token's times with the clock, as r wants it; r may be nil.
func (t *Token) check(now time.Time, r *Reader) error {
	if r == nil {
		r = &Reader{}
	}
	switch {
	case !now.Add(-r.Leeway).Before(t.Expires):
		return refused("TOKEN_EXPIRED", "the token has expired")
	case !r.Early && now.Add(r.Leeway).Before(t.NotBefore), r.Issued && now.Add(r.Leeway).Before(t.Issued):
		return refused("TOKEN_NOT_YET", "the token is not valid yet")
	}
	return nil
}

// Spend uses a token up that may be used once; it needs a jti. It is called
// after every other check, so that a refused use costs nothing. It fails with
// Unauthenticated if the token has been used, with Unavailable if that cannot
// be told.
func (v *Verifier) Spend(ctx context.Context, t *Token) error {
	if t.ID == "" {
		return refused("TOKEN_JTI", "a token for a single use needs a jti")
	}
	if v.spender == nil {
		return &earshot.Error{Code: earshot.Unavailable, Reason: "TOKEN_STORE", Text: "tokens for a single use cannot be checked now"}
	}
	first, err := v.spender.Spend(ctx, t.App.Slug, t.ID, t.Expires)
	if err != nil {
		return &earshot.Error{Code: earshot.Unavailable, Reason: "TOKEN_STORE", Text: "tokens for a single use cannot be checked now", Err: err}
	}
	if !first {
		return refused("TOKEN_USED", "the token has been used")
	}
	return nil
}

func refused(reason, text string) *earshot.Error {
	return &earshot.Error{Code: earshot.Unauthenticated, Reason: reason, Text: text}
}
