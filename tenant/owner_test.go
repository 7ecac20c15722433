package tenant_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
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

// TestOwnerLife makes an owner on one node and lets him in on another, until he
// is reset, and then deleted.
func TestOwnerLife(t *testing.T) {
	ctx := context.Background()
	store := mem.NewStore(mem.Config{})
	one, two := newNode(t, store, nil), newNode(t, store, nil)
	door, err := auth.NewOperator(auth.OperatorConfig{User: "ann", Password: "the operator's"})
	if err != nil {
		t.Fatal(err)
	}
	door.SetOwners(two.store)
	next := 0
	admit := func(authorization string) bool {
		t.Helper()
		next++
		from := netip.AddrFrom4([4]byte{192, 0, 2, byte(next)})
		who, err := door.AdmitAny(ctx, &http.Request{Header: http.Header{"Authorization": {authorization}}}, from)
		if err == nil && who != (auth.Login{Name: "bob", Role: auth.RoleOwner}) {
			t.Errorf("in as %v", who)
		}
		return err == nil
	}
	made, err := one.store.CreateOwner(ctx, operator, "bob", "")
	if err != nil || len(made.Password) < 20 || made.Token == "" || made.Created.IsZero() {
		t.Fatalf("%+v, %v", made, err)
	}
	first := []string{basic("bob", made.Password), "Bearer " + made.Token}
	for _, credential := range first {
		if !admit(credential) {
			t.Errorf("%.12s does not let in", credential)
		}
	}
	_, err = two.store.CreateOwner(ctx, operator, "bob", "")
	expectReason(t, "made twice", err, earshot.Conflict, "OWNER_TAKEN")
	_, err = two.store.ResetOwner(ctx, operator, "eve", "")
	expectReason(t, "a reset of nobody", err, earshot.NotFound, "OWNER_NOT_FOUND")
	_, err = two.store.ResetOwner(ctx, operator, "bob", "short")
	expectReason(t, "a short password", err, earshot.Invalid, "PASSWORD")
	if !admit(first[0]) {
		t.Error("what failed has changed something")
	}
	again, err := one.store.ResetOwner(ctx, operator, "bob", "a password of his own")
	if err != nil || again.Password != "" || !again.Created.Equal(made.Created) {
		t.Fatalf("%+v, %v", again, err)
	}
	for _, credential := range first {
		if admit(credential) {
			t.Errorf("%.12s lets in after a reset", credential)
		}
	}
	if !admit(basic("bob", "a password of his own")) || !admit("Bearer "+again.Token) {
		t.Error("what was given by a reset does not let in")
	}
	if err := one.store.DeleteOwner(ctx, operator, "bob"); err != nil {
		t.Fatal(err)
	}
	if admit(basic("bob", "a password of his own")) || admit("Bearer "+again.Token) {
		t.Error("who was deleted is in")
	}
	expectReason(t, "deleted twice", one.store.DeleteOwner(ctx, operator, "bob"), earshot.NotFound, "OWNER_NOT_FOUND")
	for _, bad := range []string{"", "a b", "a:b", strings.Repeat("x", 65)} {
		_, err := one.store.CreateOwner(ctx, operator, bad, "")
		expectReason(t, "the name "+bad, err, earshot.Invalid, "OWNER")
	}
	trail, _, err := two.store.Audit(ctx, "", 100)
	var told []string
	for _, e := range slices.Backward(trail) {
		told = append(told, strings.Join([]string{e.By.Name, e.Action, e.Owner, e.Outcome}, " "))
	}
	want := []string{"ann create owner bob done", "ann create owner bob conflict", "ann reset owner bob done", "ann delete owner bob done"}
	if err != nil || !slices.Equal(told, want) {
		t.Errorf("%q, %v\nwant %q", told, err, want)
	}
	e := store.Node()
	defer func() { _ = e.Close(ctx) }()
	all, _, err := e.List(ctx, hub.Key{}, nil, 100)
	for _, r := range all {
		for what, secret := range map[string]string{"password": made.Password, "token": made.Token, "his own": "a password of his own"} {
			if err != nil || strings.Contains(string(r.Data), secret) || strings.Contains(one.log.String()+two.log.String(), secret) {
				t.Errorf("the %s is in %s or in a log; %v", what, r.Key, err)
			}
		}
	}
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// TestOwnersList goes on behind a name.
func TestOwnersList(t *testing.T) {
	ctx := context.Background()
	n := newNode(t, mem.NewStore(mem.Config{}), nil)
	for _, name := range []string{"c", "a", "b"} {
		if _, err := n.store.CreateOwner(ctx, operator, name, ""); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for after, more := "", true; more; {
		var page []tenant.Owner
		var err error
		if page, more, err = n.store.Owners(ctx, after, 2); err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			got = append(got, o.Name)
		}
		after = got[len(got)-1]
	}
	if !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q", got)
	}
}

// TestOwned lists the apps that name an owner, and no others.
func TestOwned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := mem.NewStore(mem.Config{})
		keys := keyring(t, tenant.NewMasterKey())
		one, two := newNode(t, store, keys), newNode(t, store, keys)
		for i := range 6 {
			d := draft(fmt.Sprint("app-", i))
			switch {
			case i%2 == 0:
				d.Owners = []string{"bob"}
			case i == 1:
				d.Owners = []string{"eve", "bob"}
			default:
				d.Owners = []string{"eve", "bo", "bobby"}
			}
			d.Active = i != 4
			one.create(t, d)
		}
		time.Sleep(time.Second)
		list := func(n *node, owner string) (slugs []string) {
			for after, more := "", true; more; {
				var page []tenant.Listed
				var err error
				if page, after, more, err = n.store.Owned(ctx, owner, after, 2); err != nil || len(page) > 2 {
					t.Fatal(page, err)
				}
				for _, a := range page {
					slugs = append(slugs, a.Slug)
					for _, k := range a.SigningKeys {
						if k.Secret != "" {
							t.Errorf("a secret of %s is shown", a.Slug)
						}
					}
				}
			}
			return slugs
		}
		if got := list(two, "bob"); !slices.Equal(got, []string{"app-0", "app-1", "app-2", "app-4"}) {
			t.Errorf("%q", got)
		}
		if got := list(two, "nobody"); got != nil {
			t.Errorf("%q", got)
		}
		// Who is taken off the list has it no more, before anybody is told.
		owners := []string{"eve"}
		if _, err := one.store.Update(ctx, operator, "app-1", &tenant.Change{Owners: &owners}, 0); err != nil {
			t.Fatal(err)
		}
		if got := list(two, "bob"); slices.Contains(got, "app-1") {
			t.Errorf("%q", got)
		}
	})
}

// TestAuditOf finds entries by app, actor and time, over a rename too.
func TestAuditOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		n := newNode(t, mem.NewStore(mem.Config{}), keyring(t, tenant.NewMasterKey()))
		begin := time.Now()
		one := n.create(t, draft("one"))
		time.Sleep(time.Minute)
		n.create(t, draft("two"))
		time.Sleep(time.Minute)
		eve := tenant.Actor{Name: "eve", Role: auth.RoleOwner}
		name := "The first"
		if _, err := n.store.Update(ctx, eve, "one", &tenant.Change{Name: &name}, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := n.store.Export(ctx, operator, "one"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := n.store.Rename(ctx, operator, "one", "three", &tenant.Change{}, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := n.store.Delete(ctx, operator, "two", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := n.store.CreateOwner(ctx, operator, "bob", ""); err != nil {
			t.Fatal(err)
		}
		at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
		for what, c := range map[string]struct {
			q    tenant.AuditQuery
			want string
		}{
			"everything":       {tenant.AuditQuery{}, "create owner, delete two, rename one, export one, update one, create two, create one"},
			"of an app":        {tenant.AuditQuery{App: "two"}, "delete two, create two"},
			"by its old slug":  {tenant.AuditQuery{App: "one"}, "rename one, export one, update one, create one"},
			"by its new slug":  {tenant.AuditQuery{App: "three"}, "rename one"},
			"by its number":    {tenant.AuditQuery{Apps: map[int64]bool{one.ID: true}}, "rename one, export one, update one, create one"},
			"by no number":     {tenant.AuditQuery{Apps: map[int64]bool{}}, ""},
			"by an actor":      {tenant.AuditQuery{Actor: "eve"}, "update one"},
			"from a time":      {tenant.AuditQuery{From: at(2)}, "create owner, delete two, rename one, export one, update one"},
			"to a time":        {tenant.AuditQuery{To: at(2)}, "create two, create one"},
			"between":          {tenant.AuditQuery{From: at(1), To: at(2)}, "create two"},
			"before all":       {tenant.AuditQuery{To: begin}, ""},
			"an actor, an app": {tenant.AuditQuery{Actor: "ann", App: "one", To: at(3)}, "export one, create one"},
		} {
			for _, limit := range []int{1, 2, 3, 100} {
				q, got := c.q, []string(nil)
				q.Limit = limit
				for more := true; more; {
					var page []tenant.Entry
					var err error
					if page, q.After, more, err = n.store.AuditOf(ctx, &q); err != nil || len(page) > limit {
						t.Fatal(what, page, err)
					}
					for _, e := range page {
						got = append(got, strings.TrimSpace(e.Action+" "+e.App))
					}
				}
				if text := strings.Join(got, ", "); text != c.want {
					t.Errorf("%s, %d at once: %s\nwant %s", what, limit, text, c.want)
				}
			}
		}
	})
}
