package auth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"golang.org/x/crypto/argon2"
)

// cheap is the argon2id hash of "open sesame" with few passes, for tests.
const cheap = "$argon2id$v=19$m=64,t=1,p=1$"

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func admit(o *auth.Operator, authorization, from string) (string, error) {
	r := &http.Request{Header: http.Header{"Authorization": {authorization}}}
	return o.Admit(context.Background(), r, netip.MustParseAddr(from))
}

func TestOperator(t *testing.T) {
	for form, password := range map[string]string{"plain": "open sesame", "argon2id": quick("open sesame")} {
		o, err := auth.NewOperator(auth.OperatorConfig{User: "ann", Password: password, Token: "tok"})
		if err != nil {
			t.Fatal(err)
		}
		for header, want := range map[string]string{
			basic("ann", "open sesame"):                                       "ann",
			strings.Replace(basic("ann", "open sesame"), "Basic", "bASIC", 1): "ann",
			"Bearer tok":                "token",
			basic("ann", "wrong"):       "",
			basic("bob", "open sesame"): "",
			basic("ann", ""):            "",
			basic("ann", password+"x"):  "",
			"Bearer wrong":              "",
			"Bearer ":                   "",
			"Digest tok":                "",
			"Basic !":                   "",
			"":                          "",
		} {
			got, err := admit(o, header, "192.0.2.1")
			if got != want || (err == nil) != (want != "") || err != nil && earshot.CodeOf(err) != earshot.Unauthenticated {
				t.Errorf("%s, %q: %q, %v", form, header, got, err)
			}
		}
	}
	if o, err := auth.NewOperator(auth.OperatorConfig{User: "ann", Password: quick("p")}); err != nil {
		t.Fatal(err)
	} else if _, err := admit(o, basic("ann", "$argon2id"), "192.0.2.1"); err == nil {
		t.Error("a hash opens")
	}
}

// TestOperatorFlood keeps those who are in, in, whoever tries.
func TestOperatorFlood(t *testing.T) {
	o, err := auth.NewOperator(auth.OperatorConfig{User: "ann", Password: quick("open sesame")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admit(o, basic("ann", "open sesame"), "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	var limited error
	for i := range 30 {
		if _, err := admit(o, basic("ann", "wrong"+strings.Repeat("x", i)), "192.0.2.1"); earshot.CodeOf(err) == earshot.Limited {
			limited = err
			break
		}
	}
	if limited == nil {
		t.Fatal("an address may try as often as it likes")
	}
	begun := time.Now()
	for range 1000 {
		if _, err := admit(o, basic("ann", "open sesame"), "192.0.2.1"); err != nil {
			t.Fatal("who was in is out:", err)
		}
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("1000 requests of who is in took %v", took)
	}
	if wrong, refused := o.Refused(); wrong == 0 || refused == 0 {
		t.Error("nothing was counted")
	}
}

func TestOperatorConfig(t *testing.T) {
	if o, err := auth.NewOperator(auth.OperatorConfig{}); o != nil || err != nil {
		t.Error("somebody may administer who was not named")
	}
	for _, c := range []auth.OperatorConfig{
		{User: "ann"},
		{Password: "p"},
		{User: "a:b", Password: "p"},
		{User: "ann", Password: "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vtc3VtcA"},
		{User: "ann", Password: cheap},
		{User: "ann", Password: cheap + "c2FsdHNhbHQ$x"},
		{User: "ann", Password: "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$c3Vtc3Vtc3Vtc3Vtc3VtcA"},
	} {
		if _, err := auth.NewOperator(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// TestOperatorRests: of a flood from many addresses, few wait and few are hashed;
// the others are told to come again, and who gives up leaves his place.
func TestOperatorRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := auth.NewOperator(auth.OperatorConfig{User: "ann", Password: quick("open sesame")})
		if err != nil {
			t.Fatal(err)
		}
		held := auth.HoldHashing(o)
		ctx, giveUp := context.WithCancel(context.Background())
		var all sync.WaitGroup
		var limited, given atomic.Int64
		for i := range 1000 {
			all.Go(func() {
				r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
				r.SetBasicAuth("ann", "wrong")
				_, err := o.Admit(ctx, r, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
				if earshot.CodeOf(err) == earshot.Limited {
					limited.Add(1)
				} else if errors.Is(err, context.Canceled) {
					given.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := limited.Load(); n != 1000-16 {
			t.Errorf("%d were told to come again", n)
		}
		giveUp()
		all.Wait()
		if n := given.Load(); n != 16 {
			t.Errorf("%d waited", n)
		}
		held()
		if name, err := admit(o, basic("ann", "open sesame"), "192.0.2.1"); name != "ann" || err != nil {
			t.Errorf("after the flood: %q, %v", name, err)
		}
	})
}

// TestTimeTellsNoNames: who is an operator, an owner or nobody cannot be told from
// how long a wrong password takes. What is hashed takes many times what all else
// does, so that leaving it out for one of them could not be missed; of all times the
// least counts. How many hashes each costs is in TestOwnerCosts.
func TestTimeTellsNoNames(t *testing.T) {
	const passes, memory = 2, 4096
	hashed := func(password string) string {
		salt := []byte("saltsaltsalt")
		encode := base64.RawStdEncoding.EncodeToString
		return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$%s$%s", memory, passes, encode(salt), encode(argon2.IDKey([]byte(password), salt, passes, memory, 1, 32)))
	}
	o, _ := owned(t, auth.OperatorConfig{User: "ann", Password: hashed("open sesame")}, &auth.Owner{Name: "bob", Password: hashed("bob's"), Revision: 1})
	auth.CostNobody(o, passes, memory)
	users := []string{"ann", "bob", "mallory", "", strings.Repeat("x", 300)}
	least := make([]time.Duration, len(users))
	n := 0
	for range 10 {
		for i, user := range users {
			n++
			begun := worked(t)
			if _, err := admitAny(o, basic(user, "wrong"), fmt.Sprintf("10.0.%d.%d", n>>8, n&255)); earshot.CodeOf(err) != earshot.Unauthenticated {
				t.Fatal(err)
			}
			if took := worked(t) - begun; least[i] == 0 || took < least[i] {
				least[i] = took
			}
			auth.Rest(o)
		}
	}
	t.Log(least)
	if 2*slices.Max(least) > 3*slices.Min(least) {
		t.Errorf("of %.10q, each takes at least %v", users, least)
	}
}

// worked is how long this process has had a processor: others that are busy take
// none of it.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
