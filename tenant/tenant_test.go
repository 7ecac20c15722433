package tenant_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
)

// on runs a test on two nodes of one store, in a bubble.
func on(t *testing.T, test func(t *testing.T, one, two *node, records *mem.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		records := mem.NewStore(mem.Config{})
		keys := keyring(t, tenant.NewMasterKey())
		test(t, newNode(t, records, keys), newNode(t, records, keys), records)
	})
}

// second is how long a change may take to count on every node.
func second() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func tokenOf(t *testing.T, k tenant.SigningKey) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(string(k.Secret))
	if err != nil {
		t.Fatal(err)
	}
	i, err := auth.NewIssuer(earshot.SigningKey{ID: k.ID, Alg: k.Alg, Key: raw})
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.Issue(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(time.Hour).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestLive follows an app through its life: each change counts on the other node
// within a second, and closes whom it must.
func TestLive(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, _ *mem.Store) {
		ctx := context.Background()
		a := one.create(t, draft("shop"))
		second()
		if two.directory.BySlug("shop") == nil || two.directory.ByPublishKey(string(a.PublishKeys[0].Key)) == nil {
			t.Fatal("the other node does not know the app, or its key")
		}
		first := tokenOf(t, a.SigningKeys[0])
		if _, err := two.tokens.Verify(first, nil, nil); err != nil {
			t.Error("its token is refused:", err)
		}
		in, other := two.connect(t, "shop"), two.connect(t, "fixed")

		b, err := one.store.Rotate(ctx, operator, "shop", tenant.Rotation{Kind: tenant.RotateSigningKey}, a.Revision)
		if err != nil || len(b.SigningKeys) != 2 {
			t.Fatal(b, err)
		}
		second()
		for _, k := range b.SigningKeys {
			if _, err := two.tokens.Verify(tokenOf(t, k), nil, nil); err != nil {
				t.Errorf("the token of a live key %s is refused: %v", k.ID, err)
			}
		}
		if _, err = one.store.Rotate(ctx, operator, "shop", tenant.Rotation{Kind: tenant.RotateSigningKey, Finish: true}, 0); err != nil {
			t.Fatal(err)
		}
		second()
		if _, err := two.tokens.Verify(first, two.directory.BySlug("shop"), nil); err == nil {
			t.Error("a key that was taken away verifies")
		}
		if in.kicked() {
			t.Error("a key that was taken away ended who is in")
		}

		off := false
		if b, err = two.store.Update(ctx, operator, "shop", &tenant.Change{Active: &off}, 0); err != nil {
			t.Fatal(err)
		}
		second()
		if !in.kicked() || other.kicked() || two.directory.BySlug("shop") != nil || one.directory.ByPublishKey(string(a.PublishKeys[0].Key)) != nil {
			t.Error("a disabled app is served, or another is not")
		}
		yes := true
		if _, err = one.store.Update(ctx, operator, "shop", &tenant.Change{Active: &yes}, b.Revision); err != nil {
			t.Fatal(err)
		}
		second()
		again := one.connect(t, "shop")
		if err := two.store.Delete(ctx, operator, "shop", 0); err != nil {
			t.Fatal(err)
		}
		second()
		if !again.kicked() || one.directory.BySlug("shop") != nil || other.kicked() {
			t.Error("a deleted app is served, or another is not")
		}
	})
}

// TestRules gives new rules to who is connected already.
func TestRules(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, _ *mem.Store) {
		d := draft("shop")
		d.Channels = []tenant.Rule{{Match: "live-*", Live: true}}
		one.create(t, d)
		second()
		c := two.connect(t, "shop")
		rules := []tenant.Rule{{Match: "*", Open: []string{"publish"}}}
		if _, err := one.store.Update(context.Background(), operator, "shop", &tenant.Change{Channels: &rules}, 0); err != nil {
			t.Fatal(err)
		}
		second()
		if c.kicked() || c.conn.App().Rule("live-1").Live || !c.conn.App().Rule("x").Open.Has(earshot.Publish) {
			t.Errorf("the connection goes by %+v", c.conn.App().Rules)
		}
	})
}

// TestConflicts refuses what was changed meanwhile, and what another app has.
func TestConflicts(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, _ *mem.Store) {
		ctx := context.Background()
		d := draft("shop")
		d.Hosts = []string{"shop.example"}
		a := one.create(t, d)
		second()
		name := "Shop"
		b, err := two.store.Update(ctx, operator, "shop", &tenant.Change{Name: &name}, a.Revision)
		if err != nil {
			t.Fatal(err)
		}
		_, err = one.store.Update(ctx, operator, "shop", &tenant.Change{Name: &name}, a.Revision)
		expectReason(t, "an old revision", err, earshot.Conflict, "REVISION")
		expectReason(t, "deleting an old revision", one.store.Delete(ctx, operator, "shop", a.Revision), earshot.Conflict, "REVISION")
		second()
		for slug, reason := range map[string]string{"shop": "SLUG_TAKEN", "fixed": "SLUG_TAKEN", "publish": "SLUG_TAKEN"} {
			_, err := two.store.Create(ctx, operator, draft(slug))
			expectReason(t, slug, err, earshot.Conflict, reason)
		}
		for _, host := range []string{"shop.example", "fixed.example"} {
			other := draft("other")
			other.Hosts = []string{host}
			_, err = two.store.Create(ctx, operator, other)
			expectReason(t, host, err, earshot.Conflict, "TAKEN")
		}
		other := draft("other")
		other.Key = a.Key
		_, err = two.store.Create(ctx, operator, other)
		expectReason(t, "the key of another", err, earshot.Conflict, "TAKEN")
		_, err = two.store.Update(ctx, operator, "fixed", &tenant.Change{Name: &name}, 0)
		expectReason(t, "an app of the settings", err, earshot.NotFound, "APP_NOT_FOUND")

		if err := one.store.Delete(ctx, operator, "shop", b.Revision); err != nil {
			t.Fatal(err)
		}
		second()
		_, err = one.store.Create(ctx, operator, draft("shop"))
		expectReason(t, "the slug of an app that was deleted", err, earshot.Conflict, "SLUG_USED")
		d.Reuse = true
		if c := one.create(t, d); c.ID == a.ID {
			t.Error("a new app has the id of one that was deleted")
		}
	})
}

// TestRecreated closes who was connected to an app whose slug is another's now.
func TestRecreated(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, _ *mem.Store) {
		one.create(t, draft("shop"))
		second()
		c := two.connect(t, "shop")
		if err := one.store.Delete(context.Background(), operator, "shop", 0); err != nil {
			t.Fatal(err)
		}
		d := draft("shop")
		d.Reuse = true
		one.create(t, d)
		second()
		if !c.kicked() || two.directory.BySlug("shop") == nil {
			t.Error("a connection of the app that was deleted is in the new one")
		}
	})
}

// TestClash serves, of two apps that were stored with the same host at once, the
// older one, on every node.
func TestClash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, keys := mem.NewStore(mem.Config{}), keyring(t, tenant.NewMasterKey())
		one, two := newNode(t, records, keys), newNode(t, records, keys)
		one.create(t, draft("first"))
		one.create(t, draft("second"))
		// What this one writes, it checks beside nothing: it has not heard of others.
		e := records.Node()
		defer e.Close(context.Background())
		empty, err := auth.NewDirectory(nil)
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.DiscardHandler)
		deaf := tenant.New(tenant.Config{Records: e, Keys: keys, Live: tenant.NewLive(empty, keys, nil, log), Log: log})
		hosts := []string{"same.example"}
		for _, slug := range []string{"second", "first"} {
			if _, err := deaf.Update(context.Background(), operator, slug, &tenant.Change{Hosts: &hosts}, 0); err != nil {
				t.Fatal(err)
			}
		}
		second()
		for _, n := range []*node{one, two} {
			if a := n.directory.ByHost("same.example"); a == nil || a.Slug != "first" || n.directory.BySlug("second") != nil || n.live.Problem("second") == "" {
				t.Error("the younger app is served, or nobody says why not")
			}
		}
	})
}

// TestSecrets are in no list, log, record or trail, and stay with their app.
func TestSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := mem.NewStore(mem.Config{})
		old := tenant.NewMasterKey()
		n := newNode(t, records, keyring(t, old))
		ctx := context.Background()
		n.create(t, draft("shop"))
		a, err := n.store.Rotate(ctx, operator, "shop", tenant.Rotation{Kind: tenant.RotateAccessKey}, 0)
		if err != nil {
			t.Fatal(err)
		}
		revealed, err := tenant.Reveal(a)
		if err != nil {
			t.Fatal(err)
		}
		secrets := []string{string(a.SigningKeys[0].Secret), string(a.AccessKeys[0].Secret), string(a.Secrets[0].Secret)}
		for _, s := range secrets {
			if s == "" || !strings.Contains(string(revealed), s) {
				t.Errorf("%q is not in what who made it is shown", s)
			}
		}
		secrets = append(secrets, string(a.PublishKeys[0].Sum))
		e := records.Node()
		defer e.Close(ctx)
		raw, _, err := e.List(ctx, hub.Key{"app"}, nil, 100)
		if err != nil || len(raw) != 1 {
			t.Fatal(raw, err)
		}
		trail, _, err := n.store.Audit(ctx, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		list, _, _, err := n.store.List(ctx, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		shown := fmt.Sprintf("%v %+v %#v", a.SigningKeys, a.AccessKeys, a.Secrets) + n.log.String()
		for _, v := range []any{trail, list} {
			b, err := tenant.Reveal(v)
			if err != nil {
				t.Fatal(err)
			}
			shown += string(b)
		}
		for i, s := range secrets {
			if strings.Contains(shown, s) {
				t.Errorf("secret %d is shown", i)
			}
			if i < 3 && strings.Contains(string(raw[0].Data), s) {
				t.Errorf("secret %d is stored as it is", i)
			}
		}

		// A newer master key encrypts, the old one still decrypts.
		both := newNode(t, records, keyring(t, tenant.NewMasterKey(), old))
		if b, err := both.store.Get(ctx, "shop"); err != nil || b.Secrets[0].Secret != a.Secrets[0].Secret {
			t.Error(b, err)
		}
		// Who has no key serves nothing that needs it, and says so.
		blind := newNode(t, records, nil)
		if blind.directory.BySlug("shop") != nil || !strings.Contains(blind.live.Problem("shop"), "master key") {
			t.Error("an app is served without its secrets:", blind.live.Problem("shop"))
		}
		_, err = blind.store.Create(ctx, operator, draft("other"))
		expectReason(t, "without a master key", err, earshot.Invalid, "MASTER_KEY_MISSING")
		// A record under another name is not opened.
		if _, err := e.Put(ctx, hub.Key{"app", "thief"}, []byte(strings.ReplaceAll(string(raw[0].Data), `"slug":"shop"`, `"slug":"thief"`)), 0, 0); err != nil {
			t.Fatal(err)
		}
		second()
		if n.directory.BySlug("thief") != nil || n.directory.BySlug("shop") == nil {
			t.Error("secrets of an app serve another")
		}
	})
}

// TestAudit lists who did what, the newest first, what failed too.
func TestAudit(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, records *mem.Store) {
		ctx := context.Background()
		one.create(t, draft("shop"))
		name := "Shop"
		if _, err := two.store.Update(ctx, operator, "shop", &tenant.Change{Name: &name}, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := two.store.Create(ctx, operator, draft("shop")); err == nil {
			t.Fatal("a slug is given twice")
		}
		if _, err := one.store.Export(ctx, operator, "shop"); err != nil {
			t.Fatal(err)
		}
		if err := one.store.Delete(ctx, operator, "shop", 0); err != nil {
			t.Fatal(err)
		}
		var got []string
		for after, more := "", true; more; {
			var all []tenant.Entry
			var err error
			if all, more, err = two.store.Audit(ctx, after, 2); err != nil {
				t.Fatal(err)
			}
			for _, e := range all {
				after = e.ID
				got = append(got, fmt.Sprintf("%s %s %s %s %v %v", e.By.Name, e.Action, e.App, e.Outcome, e.Before != nil, e.After != nil))
			}
			if len(all) == 0 {
				break
			}
		}
		want := []string{
			"ann delete shop done true false", "ann export shop done false false", "ann create shop conflict false true",
			"ann update shop done true true", "ann create shop done false true",
		}
		// Within one moment of the bubble's clock the order is not settled.
		if len(got) != len(want) {
			t.Fatalf("got %q", got)
		}
		for _, w := range want {
			if !strings.Contains(strings.Join(got, "\n"), w) {
				t.Errorf("%q is not in %q", w, got)
			}
		}
	})
}
