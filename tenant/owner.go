package tenant

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
)

// Owners are kept as records too. What an app names (App.Owners) are their names
// alone: an owner who is deleted and made again has his apps again, and a name that
// nobody has opens nothing.

const (
	// leastPassword and mostPassword bound a password that is brought along.
	leastPassword = 12
	mostPassword  = 1024
)

// An Owner is somebody with apps of his own, without his secrets.
type Owner struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Updated is when he was last given a password and a token.
	Updated time.Time `json:"updated"`
}

// A MadeOwner is an owner with what he logs in with, which is not shown again.
type MadeOwner struct {
	Owner
	// Password is empty if it was brought along.
	Password string
	// Token is for Bearer.
	Token string
}

// storedOwner is an owner as he is kept.
type storedOwner struct {
	Owner
	Password string `json:"password"` // its hash
	Token    string `json:"token"`    // the SHA-256 in hex
}

func ownerKey(name string) hub.Key { return hub.Key{"owner", name} }

var errNoOwner = &earshot.Error{Code: earshot.NotFound, Reason: "OWNER_NOT_FOUND", Text: "there is no such owner"}

// CreateOwner makes an owner. Without a password one is drawn. It fails with
// Conflict if there is one of the name.
func (s *Store) CreateOwner(ctx context.Context, by Actor, name, password string) (*MadeOwner, error) {
	if !auth.CheckOwner(name) {
		return nil, invalid("OWNER", "the name of an owner has 1 to 64 letters, digits and . _ @ + -")
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	return s.giveOwner(ctx, by, "create owner", Owner{Name: name, Created: now, Updated: now}, password, 0)
}

// ResetOwner gives an owner another password and another token: the old ones open
// nothing any more. Without a password one is drawn.
func (s *Store) ResetOwner(ctx context.Context, by Actor, name, password string) (*MadeOwner, error) {
	who, revision, err := s.owner(ctx, name)
	if err != nil {
		return nil, err
	}
	who.Updated = time.Now().UTC().Truncate(time.Millisecond)
	return s.giveOwner(ctx, by, "reset owner", who.Owner, password, revision)
}

// giveOwner writes an owner with a password and a token, over a revision.
func (s *Store) giveOwner(ctx context.Context, by Actor, action string, who Owner, password string, revision uint64) (*MadeOwner, error) {
	made := &MadeOwner{Owner: who}
	if password == "" {
		made.Password = strings.ToLower(rand.Text())
		password = made.Password
	}
	if len(password) < leastPassword || len(password) > mostPassword {
		return nil, invalid("PASSWORD", "a password has %d to %d bytes", leastPassword, mostPassword)
	}
	token, sum := auth.NewOwnerToken(who.Name)
	made.Token = token
	data, err := json.Marshal(storedOwner{Owner: who, Password: auth.HashPassword(password), Token: hex.EncodeToString(sum[:])})
	if err != nil {
		return nil, err
	}
	err = s.audited(ctx, &Entry{By: by, Action: action, Owner: who.Name}, func() error {
		_, err := s.records.Put(ctx, ownerKey(who.Name), data, revision, 0)
		switch {
		case err == nil || earshot.CodeOf(err) != earshot.Conflict:
			return err
		case revision == 0:
			return &earshot.Error{Code: earshot.Conflict, Reason: "OWNER_TAKEN", Text: "there is an owner of this name"}
		}
		return &earshot.Error{Code: earshot.Conflict, Reason: "REVISION", Text: "the owner was changed meanwhile: try again"}
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// DeleteOwner ends an owner; he is out at once. His apps stay.
func (s *Store) DeleteOwner(ctx context.Context, by Actor, name string) error {
	_, revision, err := s.owner(ctx, name)
	if err != nil {
		return err
	}
	return s.audited(ctx, &Entry{By: by, Action: "delete owner", Owner: name}, func() error {
		return s.records.Delete(ctx, ownerKey(name), revision)
	})
}

// owner reads an owner.
func (s *Store) owner(ctx context.Context, name string) (who storedOwner, revision uint64, err error) {
	if !auth.CheckOwner(name) {
		return who, 0, errNoOwner
	}
	r, err := s.records.Get(ctx, ownerKey(name))
	if err == nil && r.Revision == 0 {
		err = errNoOwner
	}
	if err == nil {
		err = json.Unmarshal(r.Data, &who)
	}
	return who, r.Revision, err
}

// Owners reads up to limit owners in the order of their names, those after a name;
// empty for the first. More says whether there are others.
func (s *Store) Owners(ctx context.Context, after string, limit int) (all []Owner, more bool, err error) {
	var from hub.Key
	if after != "" {
		from = ownerKey(after)
	}
	records, more, err := s.records.List(ctx, hub.Key{"owner"}, from, limit)
	if err != nil {
		return nil, false, err
	}
	for i := range records {
		var who storedOwner
		if err := json.Unmarshal(records[i].Data, &who); err != nil {
			return nil, false, err
		}
		all = append(all, who.Owner)
	}
	return all, more, nil
}

// FindOwner is what auth.Owners asks for.
func (s *Store) FindOwner(ctx context.Context, name string) (*auth.Owner, error) {
	who, revision, err := s.owner(ctx, name)
	switch {
	case err != nil && earshot.CodeOf(err) == earshot.NotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	found := &auth.Owner{Name: who.Name, Password: who.Password, Revision: revision}
	if n, err := hex.Decode(found.Token[:], []byte(who.Token)); err != nil || n != sha256.Size {
		found.Token = [sha256.Size]byte{}
	}
	return found, nil
}

// Owned reads up to limit apps that name an owner, without secrets, in the order
// of their slugs, those after a slug; empty for the first. An app that has begun to
// name him comes within a second. More says whether there are others, and last is
// the slug that the next call goes on after.
func (s *Store) Owned(ctx context.Context, owner, after string, limit int) (all []Listed, last string, more bool, err error) {
	for _, slug := range s.live.ownedBy(owner) {
		if slug <= after && after != "" {
			continue
		}
		if len(all) == limit {
			return all, last, true, nil
		}
		a, err := s.Get(ctx, slug)
		if err != nil && earshot.CodeOf(err) != earshot.NotFound {
			return nil, "", false, err
		}
		if err == nil && slices.Contains(a.Owners, owner) {
			all, last = append(all, Listed{a.Public(), s.live.Problem(slug)}), slug
		}
	}
	return all, last, false, nil
}

// ownedBy are the slugs of the apps that name an owner, as this node knows them.
func (l *Live) ownedBy(owner string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for slug, k := range maps.All(l.known) {
		if slices.Contains(k.owners, owner) {
			all = append(all, slug)
		}
	}
	slices.Sort(all)
	return all
}
