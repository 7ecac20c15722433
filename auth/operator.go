package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-io/earshot"
	"golang.org/x/crypto/argon2"
	"golang.org/x/time/rate"
)

// The bounds of logins. A hash costs memory and time, so that one login hashes at a
// time, then none for hashRest times as long as that took, so that a flood from many
// addresses leaves most of the machine to others; few wait for their turn; and few
// are made for one address.
const (
	hashRest      = 3
	hashesWaiting = 16
	loginsBurst   = 10
	loginsEvery   = 6 * time.Second
	loginsKnown   = 4096
	maxCredential = 1024
)

// An OperatorConfig says who may administer the server.
type OperatorConfig struct {
	// User and Password are for Basic; the password is as it is, or its hash by
	// argon2id as "$argon2id$v=19$m=…,t=…,p=…$salt$hash".
	User, Password string
	// Token is for Bearer.
	Token string
}

// An Operator recognizes those who administer the server. It is safe for
// concurrent use.
//
// An address has 10 tries, and another one every 6 seconds. A password by argon2id
// is hashed for one login at a time, with a rest behind each, and of more than 16
// that wait the others are Limited. One that was right is recognized afterwards
// without hashing and without limit, so that who floods the login does not keep out
// those who are in; who is not in yet may have to try again, but for who has the
// token, which is not hashed. An unknown user costs what a known one does.
// With SetOwners it recognizes the owners of apps too.
//
// What a browser sends for a page of another site is Forbidden, unless it only reads:
// it shows the password that it remembers, whoever made the page.
type Operator struct {
	config OperatorConfig
	hash   *argon
	cross  http.CrossOriginProtection
	// owners are let in too; nil for none. Nobody is the hash of who is none.
	owners   Owners
	nobody   *argon
	entrants entrants
	salt     [32]byte // of what is remembered
	// basic and bearer are what was right before.
	basic, bearer atomic.Pointer[[sha256.Size]byte]
	turn          chan struct{} // held by who hashes
	waiting       atomic.Int64  // for their turn
	rested        time.Time     // when the next may hash; whose turn it is

	mu         sync.Mutex
	young, old map[netip.Addr]*rate.Limiter
	failed     atomic.Uint64
	limited    atomic.Uint64
	hashes     atomic.Uint64
}

// NewOperator makes an operator; nil if nobody may administer. Its error holds
// no secret.
func NewOperator(c OperatorConfig) (*Operator, error) {
	if c.Password == "" && c.Token == "" {
		if c.User != "" {
			return nil, fmt.Errorf("a user without a password")
		}
		return nil, nil
	}
	if c.Password != "" && (c.User == "" || strings.Contains(c.User, ":")) {
		return nil, fmt.Errorf("a password needs a user, without a colon")
	}
	o := &Operator{config: c, turn: make(chan struct{}, 1)}
	_, _ = rand.Read(o.salt[:]) // never fails, by its contract
	var err error
	if strings.HasPrefix(c.Password, "$argon2") {
		o.hash, err = parseArgon(c.Password)
	}
	return o, err
}

// Admit returns the name of the operator that a request is of. It fails with
// Unauthenticated, with Forbidden, with Limited, or when the context ends. From is the
// client's address.
func (o *Operator) Admit(ctx context.Context, r *http.Request, from netip.Addr) (string, error) {
	who, err := o.admit(ctx, r, from, nil)
	return who.Name, err
}

// admit is Admit, and AdmitAny if there are owners.
func (o *Operator) admit(ctx context.Context, r *http.Request, from netip.Addr, owners Owners) (Login, error) {
	if o.cross.Check(r) != nil {
		return Login{}, errOtherSite()
	}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	rest = strings.TrimSpace(rest)
	if rest == "" || len(rest) > 2*maxCredential {
		return Login{}, o.refuse(owners)
	}
	operator := Login{o.name(scheme), RoleOperator}
	if o.remembered(scheme, rest) {
		return operator, nil
	}
	sum := o.digest(scheme, rest)
	if owners != nil {
		if who, err := o.rememberedOwner(ctx, owners, sum); err != nil || who != nil {
			return loginOf(who), err
		}
	}
	if !o.limiter(from).Allow() {
		o.limited.Add(1)
		return Login{}, &earshot.Error{Code: earshot.Limited, Reason: "LOGINS", Text: "too many logins failed from this address", RetryAfter: loginsEvery}
	}
	t := &turn{o: o}
	defer t.end()
	ok, err := o.judge(ctx, t, scheme, rest)
	if err != nil {
		return Login{}, err
	}
	if ok {
		o.known(scheme).Store(&sum)
		return operator, nil
	}
	if owners == nil {
		return Login{}, o.refuse(owners)
	}
	who, err := o.judgeOwner(ctx, t, owners, scheme, rest)
	if err == nil && who == nil {
		err = o.refuse(owners)
	}
	if err != nil {
		return Login{}, err
	}
	o.entrants.put(sum, entrant{who.Name, who.Revision})
	return loginOf(who), nil
}

func loginOf(who *Owner) Login {
	if who == nil {
		return Login{}
	}
	return Login{who.Name, RoleOwner}
}

func (o *Operator) refuse(owners Owners) error {
	o.failed.Add(1)
	if owners != nil {
		return errLogin()
	}
	return &earshot.Error{Code: earshot.Unauthenticated, Reason: "OPERATOR", Text: "this needs the operator's user and password, or token"}
}

// errOtherSite is answered to a page of another site.
func errOtherSite() error {
	return &earshot.Error{Code: earshot.Forbidden, Reason: "CROSS_ORIGIN", Text: "a page of another site may not administer this server"}
}

// Refused returns how many logins were wrong, and how many were not tried.
func (o *Operator) Refused() (wrong, limited uint64) { return o.failed.Load(), o.limited.Load() }

// Hashes returns how many passwords were hashed.
func (o *Operator) Hashes() uint64 { return o.hashes.Load() }

func (o *Operator) name(scheme string) string {
	if strings.EqualFold(scheme, "Basic") {
		return o.config.User
	}
	return tokenName
}

// tokenName is what an operator is called who came with the token.
const tokenName = "token"

func (o *Operator) known(scheme string) *atomic.Pointer[[sha256.Size]byte] {
	if strings.EqualFold(scheme, "Basic") {
		return &o.basic
	}
	return &o.bearer
}

func (o *Operator) remembered(scheme, rest string) bool {
	known := o.known(scheme).Load()
	sum := o.digest(scheme, rest)
	return known != nil && hmac.Equal(known[:], sum[:])
}

// judge compares a credential with what is configured.
func (o *Operator) judge(ctx context.Context, t *turn, scheme, rest string) (bool, error) {
	switch {
	case strings.EqualFold(scheme, "Bearer") && o.config.Token != "":
		return same(rest, o.config.Token), nil
	case !strings.EqualFold(scheme, "Basic") || o.config.Password == "":
		return false, nil
	}
	user, password, ok := basicOf(scheme, rest)
	if !ok {
		return false, nil
	}
	named := same(user, o.config.User)
	if o.hash == nil {
		return same(password, o.config.Password) && named, nil
	}
	right, err := o.hashed(ctx, t, o.hash, password)
	return right && named, err
}

// basicOf reads user and password; ok is false for anything else.
func basicOf(scheme, rest string) (user, password string, ok bool) {
	b, err := base64.StdEncoding.DecodeString(rest)
	user, password, ok = strings.Cut(string(b), ":")
	return user, password, ok && err == nil && strings.EqualFold(scheme, "Basic") && len(password) <= maxCredential
}

// hashed compares a password with a hash, in the login's turn.
func (o *Operator) hashed(ctx context.Context, t *turn, hash *argon, password string) (right bool, err error) {
	if err := t.take(ctx); err != nil {
		return false, err
	}
	o.hashes.Add(1)
	return hash.matches(password), nil
}

// A turn is that of one login to hash what it has to, from the first time until it
// ends.
type turn struct {
	o     *Operator
	begun time.Time // zero until it is taken
}

// take waits for the turn, if it is not taken yet.
func (t *turn) take(ctx context.Context) error {
	if !t.begun.IsZero() {
		return nil
	}
	o := t.o
	if o.waiting.Add(1) > hashesWaiting {
		o.waiting.Add(-1)
		o.limited.Add(1)
		return &earshot.Error{Code: earshot.Limited, Reason: "LOGINS", Text: "too many logins are tried at once", RetryAfter: loginsEvery}
	}
	defer o.waiting.Add(-1)
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := o.rest(ctx); err != nil {
		<-o.turn
		return err
	}
	t.begun = time.Now()
	return nil
}

// end lets the next have its turn.
func (t *turn) end() {
	if !t.begun.IsZero() {
		t.o.rested = time.Now().Add(hashRest * time.Since(t.begun))
		<-t.o.turn
	}
}

// rest waits until the next password may be hashed.
func (o *Operator) rest(ctx context.Context) error {
	left := time.Until(o.rested)
	if left <= 0 {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// same compares in a time that does not tell where the difference is.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// limiter is the one of an address; of IPv6, of its network. Two generations of
// them are kept, so that they take no more than bounded memory.
func (o *Operator) limiter(from netip.Addr) *rate.Limiter {
	from = from.Unmap()
	if from.Is6() {
		if p, err := from.Prefix(64); err == nil {
			from = p.Addr()
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.young[from]
	if l == nil {
		if l = o.old[from]; l == nil {
			l = rate.NewLimiter(rate.Every(loginsEvery), loginsBurst)
		}
		if len(o.young) >= loginsKnown || o.young == nil {
			o.old, o.young = o.young, map[netip.Addr]*rate.Limiter{}
		}
		o.young[from] = l
	}
	return l
}

// An argon is a hash by argon2id (RFC 9106).
type argon struct {
	time, memory uint32
	threads      uint8
	salt, sum    []byte
}

// newArgon is what HashPassword hashes with, with a salt of its own and no sum yet.
func newArgon() *argon {
	a := &argon{time: 3, memory: 64 << 10, threads: 4, salt: make([]byte, 16), sum: make([]byte, 32)}
	_, _ = rand.Read(a.salt) // never fails, by its contract
	return a
}

// HashPassword hashes a password by argon2id, with the second recommended choice
// of RFC 9106 §4: 64 MiB, three passes.
func HashPassword(password string) string {
	a := newArgon()
	a.sum = argon2.IDKey([]byte(password), a.salt, a.time, a.memory, a.threads, 32)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, a.memory, a.time, a.threads, encode(a.salt), encode(a.sum))
}

// parseArgon reads what HashPassword writes. Its bounds keep a login from costing
// more than half a gigabyte.
func parseArgon(text string) (*argon, error) {
	parts := strings.Split(text, "$")
	var a argon
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, fmt.Errorf("the hash of the password is not of argon2id, version 19")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &a.memory, &a.time, &a.threads); err != nil {
		return nil, fmt.Errorf("the parameters of the hash of the password are not m=…,t=…,p=…")
	}
	var err, err2 error
	a.salt, err = base64.RawStdEncoding.DecodeString(parts[4])
	a.sum, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	switch {
	case err != nil || err2 != nil || len(a.salt) < 8 || len(a.sum) < 16 || len(a.sum) > 128:
		return nil, fmt.Errorf("salt or hash of the password is not base64 of a fitting length")
	case a.time < 1 || a.time > 20 || a.threads < 1 || a.memory < 8*uint32(a.threads) || a.memory > 512<<10:
		return nil, fmt.Errorf("the parameters of the hash of the password are out of range")
	}
	return &a, nil
}

func (a *argon) matches(password string) bool {
	sum := argon2.IDKey([]byte(password), a.salt, a.time, a.memory, a.threads, uint32(len(a.sum)))
	return subtle.ConstantTimeCompare(sum, a.sum) == 1
}
