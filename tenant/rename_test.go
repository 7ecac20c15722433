package tenant_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/tenant"
)

// errCrash is what a server that has died says no more.
var errCrash = errors.New("the server has died")

// A dying store dies before one of its writes, or calls somebody before it.
type dying struct {
	hub.Records
	left   int // writes before it dies; negative for never
	before func(key hub.Key)
}

func (d *dying) Put(ctx context.Context, key hub.Key, data []byte, revision uint64, ttl time.Duration) (uint64, error) {
	if d.left == 0 {
		return 0, errCrash
	}
	d.left--
	if d.before != nil {
		d.before(key)
	}
	return d.Records.Put(ctx, key, data, revision, ttl)
}

// over is a node's store over other records.
func (n *node) over(records hub.Records, keys *tenant.Keyring) *tenant.Store {
	return tenant.New(tenant.Config{Records: records, Keys: keys, Live: n.live, Log: n.logger})
}

// lean is an app of which nothing can be stored.
func lean(slug string) *tenant.Draft {
	d := draft(slug)
	d.Name, d.Lean, d.Key = "App "+slug, true, "key-"+slug
	d.Secrets = []tenant.AppSecret{{ID: "s", Secret: "secret"}}
	return d
}

// TestRename gives an app another slug: ID, key and secret stay, who is connected
// is closed, and the old slug is free again.
func TestRename(t *testing.T) {
	on(t, func(t *testing.T, one, two *node, _ *mem.Store) {
		ctx := context.Background()
		made := one.create(t, lean("old"))
		other := one.create(t, lean("other"))
		second()
		in, bystander := two.connect(t, "old"), two.connect(t, "other")
		name := "Newer"
		moved, err := one.store.Rename(ctx, operator, "old", "new", &tenant.Change{Name: &name}, made.Revision)
		if err != nil {
			t.Fatal(err)
		}
		second()
		for _, n := range []*node{one, two} {
			a := n.directory.BySlug("new")
			if n.directory.BySlug("old") != nil || a == nil || a.ID != made.ID || a.Key != made.Key || a.Secrets[0] != "secret" || a.Name != name || n.directory.ByKey(made.Key) != a {
				t.Errorf("served is %+v", a)
			}
			if s := n.live.Stats(); s.Apps != 2 || s.Served != 2 || s.Refused != 0 {
				t.Errorf("stats are %+v", s)
			}
		}
		if !in.kicked() || bystander.kicked() {
			t.Error("who was connected is not closed, or somebody else is")
		}
		if again, err := two.store.Get(ctx, "new"); err != nil || again.Revision != moved.Revision {
			t.Errorf("%+v, %v, want the revision %d", again, err, moved.Revision)
		}
		if one.store.Named(name, "") != "new" || one.store.Named(name, "new") != "" || one.store.Named("App old", "") != "" {
			t.Error("names are not those of the apps that there are")
		}
		_, err = one.store.Rename(ctx, operator, "new", "other", nil, 0)
		expectReason(t, "the slug of another", err, earshot.Conflict, "SLUG_TAKEN")
		_, err = one.store.Rename(ctx, operator, "new", "fixed", nil, 0)
		expectReason(t, "a slug of the settings", err, earshot.Conflict, "SLUG_TAKEN")
		_, err = one.store.Rename(ctx, operator, "old", "x", nil, 0)
		expectReason(t, "the old slug", err, earshot.NotFound, "APP_NOT_FOUND")
		_, err = one.store.Rename(ctx, operator, "new", "x", nil, made.Revision)
		expectReason(t, "an old revision", err, earshot.Conflict, "REVISION")
		_, err = one.store.Rename(ctx, operator, "new", "No Slug", nil, 0)
		expectReason(t, "what is no slug", err, earshot.Invalid, "SLUG")

		d := lean("old")
		d.Key = "key-fresh"
		if fresh := one.create(t, d); fresh.ID == made.ID || fresh.ID == other.ID {
			t.Error("a new app of the old slug has a number that was used")
		}
		trail, _, err := one.store.Audit(ctx, "", 100)
		if err != nil || trail[2].Action != "rename" && trail[1].Action != "rename" {
			t.Errorf("the rename is not in the audit trail: %+v, %v", trail, err)
		}
	})
}

// TestRenameKeepsStored: a slug under which something may be stored is not given
// away, and one where nothing can be is.
func TestRenameKeepsStored(t *testing.T) {
	logged := []tenant.Rule{{Match: "*"}}
	live := []tenant.Rule{{Match: "*", Live: true}}
	for name, c := range map[string]struct {
		change func(t *testing.T, s *tenant.Store)
		free   bool
	}{
		"lean": {func(*testing.T, *tenant.Store) {}, true},
		"live": {func(t *testing.T, s *tenant.Store) { update(t, s, &tenant.Change{Channels: &live}) }, true},
		"was logged": {func(t *testing.T, s *tenant.Store) {
			update(t, s, &tenant.Change{Channels: &logged})
			update(t, s, &tenant.Change{Channels: &live})
		}, false},
		"had a key": {func(t *testing.T, s *tenant.Store) {
			a, err := s.Rotate(context.Background(), operator, "shop", tenant.Rotation{Kind: tenant.RotatePublishKey}, 0)
			if err != nil {
				t.Fatal(err)
			}
			update(t, s, &tenant.Change{RemoveKeys: []string{a.PublishKeys[0].ID}})
		}, false},
		"was replayed": {func(t *testing.T, s *tenant.Store) {
			size, none := 1, 0
			update(t, s, &tenant.Change{Replay: &tenant.ReplayChange{Size: &size, Seconds: &size}})
			update(t, s, &tenant.Change{Replay: &tenant.ReplayChange{Size: &none, Seconds: &none}})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, func(t *testing.T, one, _ *node, _ *mem.Store) {
				ctx := context.Background()
				one.create(t, lean("shop"))
				c.change(t, one.store)
				second()
				for _, channel := range []string{"hello", "a.b:shop", "public:shop"} {
					if c.free && !one.directory.BySlug("shop").Rule(channel).Live {
						t.Errorf("what is said on %s is stored", channel)
					}
				}
				if _, err := one.store.Rename(ctx, operator, "shop", "moved", nil, 0); err != nil {
					t.Fatal(err)
				}
				if err := one.store.Delete(ctx, operator, "moved", 0); err != nil {
					t.Fatal(err)
				}
				second()
				for _, slug := range []string{"shop", "moved"} {
					d := lean(slug)
					_, err := one.store.Create(ctx, operator, d)
					if c.free && err != nil {
						t.Errorf("%s: %v", slug, err)
					}
					if !c.free {
						expectReason(t, slug, err, earshot.Conflict, "SLUG_USED")
					}
				}
			})
		})
	}
}

func update(t *testing.T, s *tenant.Store, c *tenant.Change) {
	t.Helper()
	if _, err := s.Update(context.Background(), operator, "shop", c, 0); err != nil {
		t.Fatal(err)
	}
}

// TestRenameDies lets the server die before each write of a rename: there is one
// app all the time, under one slug, on every node, and the other slug can be had.
func TestRenameDies(t *testing.T) {
	for left := range 6 {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			on(t, func(t *testing.T, one, two *node, records *mem.Store) {
				ctx := context.Background()
				made := one.create(t, lean("old"))
				e := records.Node()
				defer e.Close(ctx)
				_, err := one.over(&dying{Records: e, left: left}, one.keys).Rename(ctx, operator, "old", "new", nil, 0)
				second()
				// Audit, arrival, mark, app, audit: what fails last is told by none.
				wantSlug, other := "old", "new"
				if left >= 3 {
					wantSlug, other = "new", "old"
				}
				if failed := err != nil; failed != (left < 3) {
					t.Errorf("%d writes: %v", left, err)
				}
				check := func(when string) {
					t.Helper()
					for _, n := range []*node{one, two} {
						a := n.directory.BySlug(wantSlug)
						if a == nil || a.ID != made.ID || n.directory.ByKey(made.Key) != a || n.live.Problem(wantSlug)+n.live.Problem(other) != "" {
							t.Errorf("%s: served under %s is %+v", when, wantSlug, a)
						}
						if b := n.directory.BySlug(other); b != nil && b.ID == made.ID {
							t.Errorf("%s: it is served under both", when)
						}
					}
					times := 0
					all, err := two.store.All(ctx)
					for _, a := range all {
						if a.ID == made.ID && a.Slug == wantSlug {
							times++
						}
					}
					if err != nil || times != 1 {
						t.Errorf("%s: it is there %d times, %v", when, times, err)
					}
				}
				check("after the crash")
				if _, err := two.store.Get(ctx, other); earshot.CodeOf(err) != earshot.NotFound {
					t.Errorf("under the other slug is %v", err)
				}
				fresh := lean(other)
				fresh.Key = "fresh"
				two.create(t, fresh)
				second()
				check("beside another one")
				if a := one.directory.BySlug(other); a == nil || a.Key != "fresh" {
					t.Errorf("the other slug has %+v", a)
				}
				d := "moved once more"
				if _, err := two.store.Rename(ctx, operator, wantSlug, "third", &tenant.Change{Name: &d}, 0); err != nil {
					t.Fatal(err)
				}
				second()
				wantSlug = "third"
				check("moved again")
			})
		})
	}
}

// TestRenameRaces lets somebody else act before each write of a rename. Whoever
// wins, no app is lost and none is there twice.
func TestRenameRaces(t *testing.T) {
	for name, act := range map[string]func(s *tenant.Store) error{
		"create": func(s *tenant.Store) error {
			d := lean("new")
			d.Key = "fresh"
			_, err := s.Create(context.Background(), operator, d)
			return err
		},
		"rename": func(s *tenant.Store) error {
			_, err := s.Rename(context.Background(), operator, "third", "new", nil, 0)
			return err
		},
		"rename elsewhere": func(s *tenant.Store) error {
			_, err := s.Rename(context.Background(), operator, "old", "elsewhere", nil, 0)
			return err
		},
		"update": func(s *tenant.Store) error {
			off := "changed"
			_, err := s.Update(context.Background(), operator, "old", &tenant.Change{Name: &off}, 0)
			return err
		},
		"delete": func(s *tenant.Store) error { return s.Delete(context.Background(), operator, "old", 0) },
	} {
		for write := range 5 {
			t.Run(fmt.Sprint(name, " before write ", write), func(t *testing.T) {
				on(t, func(t *testing.T, one, two *node, records *mem.Store) {
					ctx := context.Background()
					made, third := one.create(t, lean("old")), one.create(t, lean("third"))
					second()
					e := records.Node()
					defer e.Close(ctx)
					writes := 0
					var acted error
					racing := one.over(&dying{Records: e, left: -1, before: func(hub.Key) {
						if writes == write {
							acted = act(two.store)
						}
						writes++
					}}, one.keys)
					_, err := racing.Rename(ctx, operator, "old", "new", nil, 0)
					second()
					all, failed := two.store.All(ctx)
					if failed != nil {
						t.Fatal(failed)
					}
					at := map[int64][]string{}
					for _, a := range all {
						at[a.ID] = append(at[a.ID], a.Slug)
						if served := one.directory.BySlug(a.Slug); served == nil || served.ID != a.ID {
							t.Errorf("%s is served as %+v", a.Slug, served)
						}
					}
					wantMade, wantThird := 1, 1
					if name == "delete" && acted == nil {
						wantMade = 0
					}
					if len(at[made.ID]) != wantMade || len(at[third.ID]) != wantThird {
						t.Errorf("the apps are %v; rename %v, other %v", at, err, acted)
					}
					if err == nil && acted == nil && (name == "create" || name == "rename" && write < 4) {
						t.Errorf("both have the slug: %v", at)
					}
					if len(one.directory.Apps()) != len(all)+1 {
						t.Errorf("%d apps are served, %d there are", len(one.directory.Apps())-1, len(all))
					}
				})
			})
		}
	}
}

// TestCreateRaces: of two who make an app of the same slug at once, one is told
// that it is taken.
func TestCreateRaces(t *testing.T) {
	for write := range 4 {
		t.Run(fmt.Sprint("before write ", write), func(t *testing.T) {
			on(t, func(t *testing.T, one, two *node, records *mem.Store) {
				ctx := context.Background()
				e := records.Node()
				defer e.Close(ctx)
				writes := 0
				var acted error
				racing := one.over(&dying{Records: e, left: -1, before: func(hub.Key) {
					if writes == write {
						_, acted = two.store.Create(ctx, operator, lean("shop"))
					}
					writes++
				}}, one.keys)
				d := lean("shop")
				d.Key = "other"
				_, err := racing.Create(ctx, operator, d)
				lost := err
				if err == nil {
					lost = acted
				}
				expectReason(t, "who was slower", lost, earshot.Conflict, "SLUG_TAKEN")
				if all, failed := two.store.All(ctx); failed != nil || len(all) != 1 || (err == nil) != (all[0].Key == "other") {
					t.Errorf("there are %+v; %v, %v, %v", all, err, acted, failed)
				}
			})
		})
	}
}
