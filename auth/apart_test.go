package auth_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"pgregory.net/rapid"
)

// TestNothingCrossesApps: whatever apps there are and however they change, a
// token counts only in the app that has its key now, and so do publish keys,
// access keys and hosts.
func TestNothingCrossesApps(t *testing.T) {
	const parties = 5
	var tokens [parties][2]string // by app, of its two keys
	for i := range tokens {
		for j := range tokens[i] {
			tokens[i][j] = issue(t, partyKey(i, j), fmt.Sprintf(`{"exp":%d}`, later(time.Hour)))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d, err := auth.NewDirectory(nil)
		if err != nil {
			t.Fatal(err)
		}
		v := auth.NewVerifier(d, nil)
		for range 6 {
			held := map[int]map[int]bool{} // by app: its keys
			var apps []*earshot.App
			for _, i := range rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(t, "order") {
				if !rapid.Bool().Draw(t, "is there") {
					continue
				}
				keys := map[int]bool{0: rapid.Bool().Draw(t, "first key"), 1: rapid.Bool().Draw(t, "second key")}
				held[i] = keys
				apps = append(apps, party(i, keys))
			}
			if refused := d.Replace(apps); len(refused) > 0 {
				t.Fatal(refused)
			}
			for i := range parties {
				if a := d.ByHost(fmt.Sprintf("h%d.example", i)); (a != nil) != (held[i] != nil) || a != nil && a.Slug != slugOf(i) {
					t.Fatalf("host %d leads to %+v", i, a)
				}
				for j := range 2 {
					want := held[i][j]
					for hint := range parties {
						got, err := v.Verify(tokens[i][j], d.BySlug(slugOf(hint)), nil)
						if (err == nil) != want || err == nil && got.App != d.BySlug(slugOf(i)) {
							t.Fatalf("key %d of app %d, hint %d: %+v, %v, want %v", j, i, hint, got, err, want)
						}
						if other := d.BySlug(slugOf(hint)); other != nil {
							if _, err := v.VerifyIn(other, tokens[i][j], nil); (err == nil) != (want && hint == i) {
								t.Fatalf("key %d of app %d in app %d: %v", j, i, hint, err)
							}
						}
					}
					if a := d.ByPublishKey(publishKeyOf(i, j)); (a != nil) != want || a != nil && a.Slug != slugOf(i) {
						t.Fatalf("publish key %d of app %d leads to %+v", j, i, a)
					}
				}
			}
		}
	})
}

func slugOf(i int) string { return fmt.Sprintf("app-%d", i) }

func publishKeyOf(i, j int) string { return fmt.Sprintf("publish key %d of app %d", j, i) }

func partyKey(i, j int) earshot.SigningKey {
	return earshot.SigningKey{ID: fmt.Sprintf("k-%d-%d", i, j), Alg: "HS256", Key: fmt.Appendf(nil, "a secret of more than thirty-two bytes %d %d", i, j)}
}

// party is an app with some of its keys; one publish key is known by its digest.
func party(i int, keys map[int]bool) *earshot.App {
	a := &earshot.App{Slug: slugOf(i), Hosts: []string{fmt.Sprintf("h%d.example", i)}}
	for j := range 2 {
		if !keys[j] {
			continue
		}
		a.SigningKeys = append(a.SigningKeys, partyKey(i, j))
		if j == 0 {
			a.PublishKeys = []string{publishKeyOf(i, j)}
		} else {
			a.PublishSums = [][32]byte{sha256.Sum256([]byte(publishKeyOf(i, j)))}
		}
	}
	return a
}
