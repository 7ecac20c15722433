package auth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"golang.org/x/crypto/argon2"
)

// quick hashes as HashPassword does, at a fraction of the cost.
func quick(password string) string {
	salt := []byte("saltsaltsalt")
	sum := argon2.IDKey([]byte(password), salt, 1, 64, 1, 32)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("%s%s$%s", cheap, encode(salt), encode(sum))
}

// A book is a set of owners.
type book struct {
	mu    sync.Mutex
	all   map[string]*auth.Owner
	fails error
	asked int
}

func (b *book) FindOwner(_ context.Context, name string) (*auth.Owner, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return b.all[name], b.fails
}

func (b *book) put(who *auth.Owner) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all[who.Name] = who
}

func admitAny(o *auth.Operator, authorization, from string) (auth.Login, error) {
	r := &http.Request{Header: http.Header{"Authorization": {authorization}}}
	return o.AdmitAny(context.Background(), r, netip.MustParseAddr(from))
}

func owned(t testing.TB, c auth.OperatorConfig, owners ...*auth.Owner) (*auth.Operator, *book) {
	t.Helper()
	o, err := auth.NewOperator(c)
	if err != nil {
		t.Fatal(err)
	}
	b := &book{all: map[string]*auth.Owner{}}
	for _, who := range owners {
		b.put(who)
	}
	o.SetOwners(b)
	auth.Cheapen(o)
	return o, b
}

// TestOwners lets in operator and owners, each as what he is, by AdmitAny, and
// the operator alone by Admit.
func TestOwners(t *testing.T) {
	token, sum := auth.NewOwnerToken("eve@example.com")
	other, _ := auth.NewOwnerToken("eve@example.com")
	nobodys, _ := auth.NewOwnerToken("nobody")
	for form, password := range map[string]string{"plain": "open sesame", "argon2id": quick("open sesame"), "only a token": ""} {
		c := auth.OperatorConfig{User: "ann", Password: password, Token: "tok"}
		o, _ := owned(t, c,
			&auth.Owner{Name: "bob", Password: quick("bob's own"), Revision: 1},
			&auth.Owner{Name: "eve@example.com", Password: quick("eve's own"), Token: sum, Revision: 2},
			&auth.Owner{Name: "ann", Password: quick("of an owner with the operator's name"), Revision: 3},
			&auth.Owner{Name: "broken", Password: "no hash", Revision: 4},
			&auth.Owner{Name: "bare", Revision: 5},
		)
		operator, none := auth.Login{Name: "ann", Role: auth.RoleOperator}, auth.Login{}
		if password == "" {
			operator = none
		}
		i := 0
		for header, want := range map[string]auth.Login{
			basic("ann", "open sesame"): operator,
			"Bearer tok":                {Name: "token", Role: auth.RoleOperator},
			basic("bob", "bob's own"):   {Name: "bob", Role: auth.RoleOwner},
			strings.ToUpper("basic") + basic("bob", "bob's own")[5:]: {Name: "bob", Role: auth.RoleOwner},
			basic("eve@example.com", "eve's own"):                    {Name: "eve@example.com", Role: auth.RoleOwner},
			"Bearer " + token:                                        {Name: "eve@example.com", Role: auth.RoleOwner},
			"bearer " + token:                                        {Name: "eve@example.com", Role: auth.RoleOwner},
			"Bearer " + other:                                        none,
			"Bearer " + nobodys:                                      none,
			"Bearer " + token + "x":                                  none,
			"Bearer eow_!.x":                                         none,
			"Bearer eow_":                                            none,
			"Basic " + token:                                         none,
			basic("bob", "eve's own"):                                none,
			basic("bob", ""):                                         none,
			basic("bob", "open sesame"):                              none,
			basic("", "bob's own"):                                   none,
			basic("broken", "no hash"):                               none,
			basic("bare", ""):                                        none,
			basic("ann", "of an owner with the operator's name"):     none,
			basic("nobody", "bob's own"):                             none,
			basic("\x00", "bob's own"):                               none,
			basic("bob", strings.Repeat("x", 1025)):                  none,
			"":                                                       none,
		} {
			i++
			from := fmt.Sprintf("192.0.2.%d", i)
			for try := range 2 {
				got, err := admitAny(o, header, from)
				if got != want || (err == nil) != (want != none) || err != nil && earshot.CodeOf(err) != earshot.Unauthenticated {
					t.Errorf("%s, %.40q, try %d: %v, %v", form, header, try, got, err)
				}
			}
			name, err := admit(o, header, from)
			if (err == nil) != (want.Role == auth.RoleOperator) || name != "" && name != want.Name {
				t.Errorf("%s, %.40q: the operator's door: %q, %v", form, header, name, err)
			}
		}
	}
}

// TestOwnerChanges: who was remembered is asked for again when anything of him
// has changed, and is out when he is no more.
func TestOwnerChanges(t *testing.T) {
	token, sum := auth.NewOwnerToken("bob")
	o, b := owned(t, auth.OperatorConfig{Token: "tok"}, &auth.Owner{Name: "bob", Password: quick("one"), Token: sum, Revision: 1})
	for _, header := range []string{basic("bob", "one"), "Bearer " + token} {
		if _, err := admitAny(o, header, "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	hashes := o.Hashes()
	for range 100 {
		if _, err := admitAny(o, basic("bob", "one"), "192.0.2.1"); err != nil {
			t.Fatal("who was in is out:", err)
		}
	}
	if o.Hashes() != hashes {
		t.Error("who was in is hashed again")
	}
	b.put(&auth.Owner{Name: "bob", Password: quick("two"), Revision: 2})
	for i, header := range []string{basic("bob", "one"), "Bearer " + token} {
		if who, err := admitAny(o, header, fmt.Sprintf("192.0.2.%d", 10+i)); err == nil {
			t.Errorf("%v is in with what was replaced", who)
		}
	}
	if _, err := admitAny(o, basic("bob", "two"), "192.0.2.12"); err != nil {
		t.Error(err)
	}
	b.fails = errors.New("the engine is away")
	for i, header := range []string{basic("bob", "two"), basic("bob", "never")} {
		if who, err := admitAny(o, header, fmt.Sprintf("192.0.2.%d", 20+i)); !errors.Is(err, b.fails) {
			t.Errorf("%v, %v: what cannot be told is no login, nor a wrong one", who, err)
		}
	}
	b.fails = nil
	delete(b.all, "bob")
	if who, err := admitAny(o, basic("bob", "two"), "192.0.2.30"); err == nil {
		t.Errorf("%v is no more, and in", who)
	}
}

// TestOwnerCosts: every try costs the same hashes, whoever it names, and none
// where it is limited.
func TestOwnerCosts(t *testing.T) {
	for form, c := range map[string]struct {
		password string
		hashes   uint64
	}{"plain": {"open sesame", 1}, "argon2id": {quick("open sesame"), 2}} {
		o, b := owned(t, auth.OperatorConfig{User: "ann", Password: c.password}, &auth.Owner{Name: "bob", Password: quick("bob's"), Revision: 1})
		for i, user := range []string{"ann", "bob", "nobody", "a name\nthat nobody can have", "", "token"} {
			before, asked := o.Hashes(), b.asked
			if _, err := admitAny(o, basic(user, "wrong"), fmt.Sprintf("192.0.2.%d", i)); err == nil {
				t.Fatal("in")
			}
			if n := o.Hashes() - before; n != c.hashes {
				t.Errorf("%s: %q costs %d hashes, want %d", form, user, n, c.hashes)
			}
			if b.asked-asked > 1 {
				t.Errorf("%s: %q is looked up %d times", form, user, b.asked-asked)
			}
		}
		var limited bool
		for range 30 {
			before, asked := o.Hashes(), b.asked
			_, err := admitAny(o, basic("bob", "wrong"), "192.0.2.99")
			if earshot.CodeOf(err) == earshot.Limited {
				limited = true
				if o.Hashes() != before || b.asked != asked {
					t.Error("what is limited costs a hash or a look")
				}
			}
		}
		if !limited {
			t.Error("an address may try as often as it likes")
		}
		if _, err := admitAny(o, basic("bob", "bob's"), "192.0.2.98"); err != nil {
			t.Error("a flood from one address keeps out another:", err)
		}
		if _, err := admitAny(o, basic("bob", "bob's"), "192.0.2.99"); err != nil {
			t.Error("who is in is out, behind the address of a flood:", err)
		}
	}
}

// TestOwnersAreForgotten in bounded memory; who is forgotten logs in again.
func TestOwnersAreForgotten(t *testing.T) {
	o, b := owned(t, auth.OperatorConfig{Token: "tok"})
	var first string
	for i := range 5000 {
		name := fmt.Sprint("owner", i)
		token, sum := auth.NewOwnerToken(name)
		b.put(&auth.Owner{Name: name, Token: sum, Revision: uint64(i)})
		if i == 0 {
			first = token
		}
		from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String()
		if who, err := admitAny(o, "Bearer "+token, from); err != nil || who.Name != name {
			t.Fatal(who, err)
		}
	}
	if n := auth.Entrants(o); n > 2048 {
		t.Errorf("%d are remembered", n)
	}
	if _, err := admitAny(o, "Bearer "+first, "192.0.2.1"); err != nil {
		t.Error(err)
	}
}

// TestCheckOwner: names fit in Basic, tokens and addresses.
func TestCheckOwner(t *testing.T) {
	for name, want := range map[string]bool{
		"bob": true, "Bob.B_1+2-3@example.com": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a:b": false, "a/b": false, "a b": false, "ä": false, "a\n": false,
	} {
		if auth.CheckOwner(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
	token, sum := auth.NewOwnerToken("bob")
	if sha256.Sum256([]byte(token)) != sum || !strings.HasPrefix(token, "eow_") {
		t.Error("what is kept of a token is not its digest")
	}
}

// TestRefusalsAreCounted, each for the app that the token was shown to.
func TestRefusalsAreCounted(t *testing.T) {
	app := &earshot.App{Slug: "a", SigningKeys: []earshot.SigningKey{{ID: "k", Alg: "HS256", Key: []byte(strings.Repeat("x", 32))}}}
	hint := &earshot.App{Slug: "b", SigningKeys: []earshot.SigningKey{{ID: "l", Alg: "HS256", Key: []byte(strings.Repeat("y", 32))}}}
	d, err := auth.NewDirectory([]*earshot.App{app, hint})
	if err != nil {
		t.Fatal(err)
	}
	v := auth.NewVerifier(d, nil)
	got := map[string]int{}
	v.CountRefusals(func(a *earshot.App) {
		if a != nil {
			got[a.Slug]++
		} else {
			got["nobody"]++
		}
	})
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"k"}`))
	forged := header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":99999999999}`)) + "." + strings.Repeat("A", 43)
	_, _ = v.Verify(forged, hint, nil)    // its key is of a
	_, _ = v.Verify("garbage", hint, nil) // b
	_, _ = v.Verify("garbage", nil, nil)  // nobody's
	_, _ = v.Verify("", hint, nil)        // no proof at all
	_, _ = v.VerifyIn(hint, forged, nil)  // b
	if got["a"] != 1 || got["b"] != 2 || got["nobody"] != 1 {
		t.Errorf("%v", got)
	}
}
