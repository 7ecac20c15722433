package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/earshot-io/earshot"
)

// A Role is what somebody may who administers.
type Role string

// The roles.
const (
	// RoleOperator may everything, with all apps.
	RoleOperator Role = "operator"
	// RoleOwner may see and change the apps that name him (earshot.App.Owners).
	RoleOwner Role = "owner"
)

// A Login is who asks.
type Login struct {
	Name string
	Role Role
}

// An Owner is somebody with apps of his own, as it is kept.
type Owner struct {
	Name string
	// Password is its hash, of HashPassword; empty for none.
	Password string
	// Token is the SHA-256 of the bearer token; zero for none.
	Token [sha256.Size]byte
	// Revision rises with every change.
	Revision uint64
}

// Owners finds owners; it may be called concurrently. What it answers counts at
// once: an owner that it does not know any more is not let in any more.
type Owners interface {
	// FindOwner returns the owner of a name, nil if there is none.
	FindOwner(ctx context.Context, name string) (*Owner, error)
}

// maxOwner is how long a name may be, and ownersKnown how many that were right
// are remembered at least.
const (
	maxOwner    = 64
	ownersKnown = 1024
)

// ownerToken is what the bearer token of an owner begins with; his name in base64
// and a secret follow, with a point between.
const ownerToken = "eow_"

// CheckOwner reports whether somebody may be called so: 1 to 64 letters, digits,
// and . _ @ + -, which all fit in Basic.
func CheckOwner(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@+-"
	return name != "" && len(name) <= maxOwner && strings.Trim(name, letters) == ""
}

// NewOwnerToken draws a bearer token for an owner, and returns what is kept of it.
func NewOwnerToken(name string) (token string, sum [sha256.Size]byte) {
	token = ownerToken + base64.RawURLEncoding.EncodeToString([]byte(name)) + "." + NewSecret()
	return token, sha256.Sum256([]byte(token))
}

// tokenOwner is the name in a token, empty if it is none of an owner.
func tokenOwner(token string) string {
	rest, ours := strings.CutPrefix(token, ownerToken)
	encoded, _, ok := strings.Cut(rest, ".")
	name, err := base64.RawURLEncoding.DecodeString(encoded)
	if !ours || !ok || err != nil || !CheckOwner(string(name)) {
		return ""
	}
	return string(name)
}

// SetOwners lets owners in by AdmitAny. It is called before that.
func (o *Operator) SetOwners(all Owners) {
	o.owners = all
	// Whatever is compared with it is wrong, at the cost of a right one.
	o.nobody = newArgon()
	_, _ = rand.Read(o.nobody.sum)
}

// Names reports whether a name is the operator's own, so that no owner may have it.
func (o *Operator) Names(name string) bool { return name == o.config.User || name == tokenName }

// AdmitAny is Admit that admits owners too. Every try by Basic that is not
// remembered costs the same hashes, whoever it names: the operator's, if there is
// one, and an owner's.
func (o *Operator) AdmitAny(ctx context.Context, r *http.Request, from netip.Addr) (Login, error) {
	return o.admit(ctx, r, from, o.owners)
}

// judgeOwner compares a credential with what is kept of the owner that it names;
// nil if it is wrong.
func (o *Operator) judgeOwner(ctx context.Context, t *turn, owners Owners, scheme, rest string) (*Owner, error) {
	if strings.EqualFold(scheme, "Bearer") {
		name := tokenOwner(rest)
		if name == "" {
			return nil, nil
		}
		who, err := owners.FindOwner(ctx, name)
		sum := sha256.Sum256([]byte(rest))
		if err != nil || who == nil || who.Token == ([sha256.Size]byte{}) || subtle.ConstantTimeCompare(sum[:], who.Token[:]) != 1 {
			return nil, err
		}
		return who, nil
	}
	user, password, ok := basicOf(scheme, rest)
	if !ok {
		return nil, nil
	}
	var who *Owner
	var err error
	if CheckOwner(user) && !o.Names(user) {
		if who, err = owners.FindOwner(ctx, user); err != nil {
			return nil, err
		}
	}
	hash := o.nobody
	if who != nil {
		if known, err := parseArgon(who.Password); err == nil {
			hash = known
		}
	}
	right, err := o.hashed(ctx, t, hash, password)
	if err != nil || !right {
		return nil, err
	}
	return who, nil
}

// entrants are the owners that were right before. Two generations of them are
// kept, so that they take bounded memory.
type entrants struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]entrant
}

// An entrant is who a credential was right for, and of which revision.
type entrant struct {
	name     string
	revision uint64
}

func (e *entrants) get(sum [sha256.Size]byte) (entrant, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	who, ok := e.young[sum]
	if !ok {
		who, ok = e.old[sum]
	}
	return who, ok
}

func (e *entrants) put(sum [sha256.Size]byte, who entrant) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.young) >= ownersKnown || e.young == nil {
		e.old, e.young = e.young, map[[sha256.Size]byte]entrant{}
	}
	e.young[sum] = who
}

// rememberedOwner is the owner that a credential was right for, if it still is.
func (o *Operator) rememberedOwner(ctx context.Context, owners Owners, sum [sha256.Size]byte) (*Owner, error) {
	was, ok := o.entrants.get(sum)
	if !ok {
		return nil, nil
	}
	who, err := owners.FindOwner(ctx, was.name)
	if err != nil || who == nil || who.Revision != was.revision {
		return nil, err
	}
	return who, nil
}

// errLogin is answered to who is neither operator nor owner.
func errLogin() error {
	return &earshot.Error{Code: earshot.Unauthenticated, Reason: "OPERATOR", Text: "this needs the name and password, or the token, of the operator or of an owner"}
}

// digest is how a credential that was right is remembered.
func (o *Operator) digest(scheme, rest string) (sum [sha256.Size]byte) {
	m := hmac.New(sha256.New, o.salt[:])
	m.Write([]byte(strings.ToLower(scheme) + " " + rest))
	m.Sum(sum[:0])
	return sum
}
