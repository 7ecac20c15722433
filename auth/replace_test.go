package auth_test

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// TestReplace follows a token through what becomes of its app: a verifier that
// was made before sees every change, in its cache too.
func TestReplace(t *testing.T) {
	one := &earshot.App{Slug: "one", SigningKeys: []earshot.SigningKey{hs256("k1")}, PublishSums: [][32]byte{sha256.Sum256([]byte("secret"))}}
	d := directory(t, one)
	v := auth.NewVerifier(d, nil)
	token := issue(t, hs256("k1"), fmt.Sprintf(`{"exp":%d}`, later(time.Hour)))
	if got, err := v.Verify(token, nil, nil); err != nil || got.App != one {
		t.Fatalf("%+v, %v", got, err)
	}
	if d.ByPublishKey("secret") != one || d.ByPublishKey("other") != nil {
		t.Error("a publish key of which only the sum is known is not found")
	}

	asks := *one
	asks.Audience = "here"
	d.Replace([]*earshot.App{&asks})
	if _, err := v.VerifyIn(one, token, nil); err == nil {
		t.Error("a token that was verified before counts although its app asks for an audience now")
	}
	back := *one
	d.Replace([]*earshot.App{&back})
	if got, err := v.VerifyIn(one, token, nil); err != nil || got.App != &back {
		t.Errorf("%+v, %v: want the newest app", got, err)
	}
	rotated := *one
	rotated.SigningKeys = []earshot.SigningKey{hs256("k2")}
	d.Replace([]*earshot.App{&rotated})
	if _, err := v.VerifyIn(one, token, nil); err == nil {
		t.Error("a removed key verifies")
	}
	d.Replace(nil)
	if _, err := v.VerifyIn(one, token, nil); err == nil || d.Default() != nil || d.BySlug("one") != nil || d.ByPublishKey("secret") != nil {
		t.Error("the app is gone, and is found")
	}
}

// TestReplaceLeavesOut takes the apps that fit, and says which do not.
func TestReplaceLeavesOut(t *testing.T) {
	d := directory(t)
	first := &earshot.App{Slug: "first", Hosts: []string{"a.example"}, SigningKeys: []earshot.SigningKey{hs256("k")}}
	thief := &earshot.App{Slug: "thief", Hosts: []string{"b.example", "A.example"}}
	wrong := &earshot.App{Slug: "wrong", SigningKeys: []earshot.SigningKey{{ID: "w", Alg: "none"}}}
	twin := &earshot.App{Slug: "twin", SigningKeys: []earshot.SigningKey{hs256("k")}}
	last := &earshot.App{Slug: "last"}
	refused := d.Replace([]*earshot.App{first, thief, wrong, twin, last, {Slug: "first"}})
	if len(refused) != 4 || refused[0].App != thief || refused[1].App != wrong || refused[2].App != twin {
		t.Errorf("refused %+v", refused)
	}
	if len(d.Apps()) != 2 || d.BySlug("last") != last || d.BySlug("first") != first || d.ByHost("b.example") != nil || d.ByKeyID("w") != nil {
		t.Error("an app that was left out left something behind, or took another with it")
	}
	if d.Fits(thief) == nil || d.Fits(&earshot.App{Slug: "first", Hosts: []string{"a.example"}}) != nil {
		t.Error("Fits is wrong")
	}
}

// TestReplaceWhileRead never shows half of a change.
func TestReplaceWhileRead(t *testing.T) {
	apps := []*earshot.App{{Slug: "a", Hosts: []string{"h"}}, {Slug: "b", Hosts: []string{"h"}}}
	d := directory(t, apps[0])
	stop := make(chan struct{})
	var reading sync.WaitGroup
	for range 4 {
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if d.ByHost("h") == nil || d.Default() == nil {
					t.Error("no app has the host for a moment")
					return
				}
			}
		})
	}
	for i := range 500 {
		d.Replace(apps[i%2 : i%2+1])
	}
	close(stop)
	reading.Wait()
}
