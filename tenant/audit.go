package tenant

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
)

// auditKeep is how long the audit trail reaches back.
const auditKeep = 400 * 24 * time.Hour

// An Actor is who changes apps.
type Actor struct {
	// Name is the operator's, Address from where the request came.
	Name    string `json:"name"`
	Address string `json:"address,omitempty"`
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
	App    string    `json:"app"`
	// Before and After are the app without secrets; nil for none.
	Before  *App   `json:"before,omitempty"`
	After   *App   `json:"after,omitempty"`
	Outcome string `json:"outcome"`
}

func auditKey(id string) hub.Key { return hub.Key{"app.audit", id} }

// audited does something that stands in the audit trail before it begins.
func (s *Store) audited(ctx context.Context, e *Entry, do func() error) error {
	e.At, e.Outcome = time.Now().UTC(), Begun
	// The newest come first, as records are listed by their keys.
	e.ID = fmt.Sprintf("%016x%s", ^uint64(e.At.UnixNano()), rand.Text()[:6])
	revision, err := s.record(ctx, e, 0)
	if err != nil {
		return err
	}
	failed := do()
	e.Outcome = Done
	if failed != nil {
		e.Outcome = earshot.CodeOf(failed).String()
	}
	if _, err := s.record(context.WithoutCancel(ctx), e, revision); err != nil {
		s.log.Error("the outcome of an admin action is not in the audit trail", "action", e.Action, "app", e.App, "outcome", e.Outcome, "err", err)
	}
	s.log.Info("admin action", "action", e.Action, "app", e.App, "by", e.By.Name, "address", e.By.Address, "outcome", e.Outcome)
	return failed
}

func (s *Store) record(ctx context.Context, e *Entry, revision uint64) (uint64, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	return s.records.Put(ctx, auditKey(e.ID), data, revision, auditKeep)
}

// Audit lists up to limit actions, the newest first, those after the entry of an
// id; empty for the first. It may return fewer; more says whether there are others.
func (s *Store) Audit(ctx context.Context, after string, limit int) (all []Entry, more bool, err error) {
	var from hub.Key
	if after != "" {
		from = auditKey(after)
	}
	records, more, err := s.records.List(ctx, hub.Key{"app.audit"}, from, limit)
	if err != nil {
		return nil, false, err
	}
	for i := range records {
		var e Entry
		if err := json.Unmarshal(records[i].Data, &e); err != nil {
			return nil, false, fmt.Errorf("audit entry %s: %w", records[i].Key, err)
		}
		all = append(all, e)
	}
	return all, more, nil
}
