package tenant

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
)

// auditKeep is how long the audit trail reaches back.
const auditKeep = 400 * 24 * time.Hour

// An Actor is who changes apps.
type Actor struct {
	// Name is the operator's or owner's, Address from where the request came.
	Name    string `json:"name"`
	Address string `json:"address,omitempty"`
	// Role is his; empty is an operator's.
	Role auth.Role `json:"role,omitempty"`
}

// The outcomes of an Entry; others are the code of an error.
const (
	// Begun is that of one whose server died before the outcome was known.
	Begun = "begun"
	Done  = "done"
)

// An Entry is one action in the audit trail.
type Entry struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	By     Actor     `json:"by"`
	Action string    `json:"action"`
	// App is the slug that it had, AppID its number; empty and 0 for what is about
	// an Owner.
	App   string `json:"app,omitempty"`
	AppID int64  `json:"appId,omitzero"`
	Owner string `json:"owner,omitempty"`
	// Before and After are the app without secrets; nil for none.
	Before  *App   `json:"before,omitempty"`
	After   *App   `json:"after,omitempty"`
	Outcome string `json:"outcome"`
	// written is the revision of the app's record that it wrote.
	written uint64
}

func auditKey(id string) hub.Key { return hub.Key{"app.audit", id} }

// audited does something that stands in the audit trail before it begins, and
// waits until it counts.
func (s *Store) audited(ctx context.Context, e *Entry, do func() error) error {
	e.At, e.Outcome = time.Now().UTC(), Begun
	// The newest come first, as records are listed by their keys.
	e.ID = fmt.Sprintf("%016x%s", ^uint64(e.At.UnixNano()), rand.Text()[:6])
	revision, err := s.record(ctx, e, 0)
	if err != nil {
		return err
	}
	failed := do()
	if e.AppID == 0 && e.Before != nil {
		e.AppID = e.Before.ID
	}
	e.Outcome = Done
	if failed != nil {
		e.Outcome = earshot.CodeOf(failed).String()
	}
	if _, err := s.record(context.WithoutCancel(ctx), e, revision); err != nil {
		s.log.Error("the outcome of an admin action is not in the audit trail", "action", e.Action, "app", e.App, "outcome", e.Outcome, "err", err)
	}
	s.log.Info("admin action", "action", e.Action, "app", e.App, "owner", e.Owner, "by", e.By.Name, "address", e.By.Address, "outcome", e.Outcome)
	if failed == nil {
		s.counts(ctx, e.App, e.written)
	}
	return failed
}

func (s *Store) record(ctx context.Context, e *Entry, revision uint64) (uint64, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	return s.records.Put(ctx, auditKey(e.ID), data, revision, auditKeep)
}

// An AuditQuery says which entries are meant: those to which all that is set
// applies.
type AuditQuery struct {
	// App is the slug that an app had, or has now.
	App string
	// Apps are the numbers of apps; nil means any, and what is about no app too.
	Apps map[int64]bool
	// Actor is the name of who did it.
	Actor string
	// From and To are between when it was done, To not included; zero is no bound.
	From, To time.Time
	// After goes on behind an entry; empty for the newest.
	After string
	// Limit is how many are returned at the most.
	Limit int
}

const (
	// auditScan is how many entries a query looks at before it answers with what it
	// has found, and auditPage how many at once.
	auditScan = 2000
	auditPage = 200
)

// matches reports whether an entry is meant; its time and place are judged before.
func (q *AuditQuery) matches(e *Entry) bool {
	switch {
	case q.App != "" && e.App != q.App && (e.After == nil || e.After.Slug != q.App):
		return false
	case q.Apps != nil && !q.Apps[e.AppID]:
		return false
	}
	return q.Actor == "" || e.By.Name == q.Actor
}

// begin is the key behind which the query looks.
func (q *AuditQuery) begin() hub.Key {
	after := q.After
	if !q.To.IsZero() {
		// Those of the very time are not meant: they come before.
		after = max(after, fmt.Sprintf("%016x~", ^uint64(q.To.UnixNano())))
	}
	if after == "" {
		return nil
	}
	return auditKey(after)
}

// Audit lists up to limit actions, the newest first, those after the entry of an
// id; empty for the first. It may return fewer; more says whether there are others.
func (s *Store) Audit(ctx context.Context, after string, limit int) (all []Entry, more bool, err error) {
	all, _, more, err = s.AuditOf(ctx, &AuditQuery{After: after, Limit: limit})
	return all, more, err
}

// AuditOf lists the actions that are meant, the newest first. It may return fewer
// than there is room for, or none; more says whether there may be others, behind
// last.
func (s *Store) AuditOf(ctx context.Context, q *AuditQuery) (all []Entry, last string, more bool, err error) {
	after := q.begin()
	for seen, more := 0, true; more; {
		var page []hub.Record
		if page, more, err = s.records.List(ctx, hub.Key{"app.audit"}, after, auditPage); err != nil {
			return nil, "", false, err
		}
		for i := range page {
			var e Entry
			if err := json.Unmarshal(page[i].Data, &e); err != nil {
				return nil, "", false, fmt.Errorf("audit entry %s: %w", page[i].Key, err)
			}
			if e.At.Before(q.From) {
				return all, last, false, nil
			}
			if len(all) == q.Limit || seen == auditScan {
				return all, last, true, nil
			}
			after, last = page[i].Key, e.ID
			seen++
			if q.matches(&e) {
				all = append(all, e)
			}
		}
		more = more && len(page) > 0
	}
	return all, last, false, nil
}
