package tenant_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/tenant"
)

// TestBuilt: what an app says of itself is what the server works with, after
// each change.
func TestBuilt(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, _ *mem.Store) {
		d := draft("shop")
		d.Name, d.Key = "The shop", "shop-key"
		d.Secrets = []tenant.AppSecret{{ID: "a", Secret: "new"}, {ID: "b", Secret: "old"}}
		d.Owners, d.RequireTLS, d.KeySigned = []string{"ann"}, true, true
		d.Limits = &tenant.Limits{Connections: 1, Channels: 2, MessageBytes: 3, ClientRate: 4.5, ServerRate: 6}
		d.Replay = &tenant.Replay{Size: 20, Seconds: 60}
		made := one.create(t, d)
		second()
		want := earshot.App{
			Slug: "shop", ID: made.ID, Name: "The shop", Key: "shop-key", Secrets: []string{"new", "old"}, Owners: []string{"ann"},
			RequireTLS: true, KeySigned: true, Replay: earshot.Replay{Size: 20, For: time.Minute},
			Limits: earshot.Limits{Connections: 1, Channels: 2, MessageBytes: 3, ClientRate: 4.5, ServerRate: 6},
		}
		got := *two.directory.ByKey("shop-key")
		got.PublishSums, got.SigningKeys = nil, nil
		if made.ID == 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}

		rate, none, no, bob := 1.5, 0, false, []string{"bob"}
		_, err := two.store.Update(context.Background(), operator, "shop", &tenant.Change{
			Limits: &tenant.LimitsChange{ClientRate: &rate, Connections: &none}, Replay: &tenant.ReplayChange{Size: &none, Seconds: &none},
			Owners: &bob, RequireTLS: &no, KeySigned: &no,
		}, 0)
		if err != nil {
			t.Fatal(err)
		}
		second()
		want.Limits.ClientRate, want.Limits.Connections, want.Replay = 1.5, 0, earshot.Replay{}
		want.Owners, want.RequireTLS, want.KeySigned = bob, false, false
		got = *one.directory.BySlug("shop")
		got.PublishSums, got.SigningKeys = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestFieldsRefused refuses what cannot be meant.
func TestFieldsRefused(t *testing.T) {
	on(t, func(t *testing.T, one, _ *node, _ *mem.Store) {
		for reason, change := range map[string]func(*tenant.App){
			"NAME":     func(a *tenant.App) { a.Name = "shop\x1b[2J" },
			"KEY":      func(a *tenant.App) { a.Key = "a:b" },
			"OWNER":    func(a *tenant.App) { a.Owners = []string{"a:b"} },
			"LIMITS":   func(a *tenant.App) { a.Limits = &tenant.Limits{ServerRate: -1} },
			"REPLAY":   func(a *tenant.App) { a.Replay = &tenant.Replay{Size: 1} },
			"TOO_MANY": func(a *tenant.App) { a.Owners = make([]string, 101) },
		} {
			d := draft("shop")
			change(&d.App)
			_, err := one.store.Create(context.Background(), operator, d)
			expectReason(t, reason, err, earshot.Invalid, reason)
		}
	})
}
