package api

import (
	"net/http"
	"net/url"
	"time"

	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/tenant"
	"github.com/go-json-experiment/json"
)

// auditLines is how many entries come as comma-separated values at once.
const auditLines = 1000

// audit lists what was done. An owner sees what was done to his apps, by whomever.
func (a *API) audit(w http.ResponseWriter, r *http.Request, by tenant.Actor) error {
	csv, err := wantsCSV(r)
	if err != nil {
		return err
	}
	q, err := a.auditQuery(r, by)
	if err != nil {
		return err
	}
	if csv {
		q.Limit = auditLines
	}
	all, last, more, err := a.tenants.AuditOf(r.Context(), q)
	if err != nil {
		return err
	}
	if csv {
		if more {
			next := r.URL.Query()
			next.Set("after", last)
			w.Header().Set("Link", "<"+(&url.URL{Path: r.URL.Path, RawQuery: next.Encode()}).String()+`>; rel="next"`)
		}
		return writeAudit(w, all)
	}
	if all == nil {
		all = []tenant.Entry{}
	}
	write(w, http.StatusOK, map[string]any{"entries": all, "last": last, "more": more})
	return nil
}

func (a *API) auditQuery(r *http.Request, by tenant.Actor) (*tenant.AuditQuery, error) {
	asked := r.URL.Query()
	q := &tenant.AuditQuery{App: asked.Get("app"), Actor: asked.Get("actor"), After: asked.Get("after"), Limit: adminPage}
	var err error
	if q.From, err = timeOf(asked.Get("from"), "from", time.Time{}); err != nil {
		return nil, err
	}
	if q.To, err = timeOf(asked.Get("to"), "to", time.Time{}); err != nil {
		return nil, err
	}
	if !q.To.IsZero() && q.To.Before(q.From) {
		return nil, invalid("TIMES", "from is after to")
	}
	if by.Role == auth.RoleOperator {
		return q, nil
	}
	q.Apps = map[int64]bool{}
	if q.App != "" {
		id, err := a.ownApp(r.Context(), by.Name, q.App)
		q.App = "" // what was done to it under another slug too
		if id != 0 {
			q.Apps[id] = true
		}
		return q, err
	}
	for after, more := "", true; more; {
		var page []tenant.Listed
		if page, after, more, err = a.tenants.Owned(r.Context(), by.Name, after, adminPage); err != nil {
			return nil, err
		}
		for i := range page {
			q.Apps[page[i].ID] = true
		}
	}
	return q, nil
}

// writeAudit answers with a line for each entry; the app before and after is JSON
// in its cell.
func writeAudit(w http.ResponseWriter, all []tenant.Entry) error {
	lines := [][]string{{"id", "at", "name", "role", "address", "action", "app", "owner", "outcome", "before", "after"}}
	for i := range all {
		e := &all[i]
		line := []string{
			e.ID, e.At.UTC().Format(time.RFC3339Nano), cell(e.By.Name), string(e.By.Role), e.By.Address, e.Action, cell(e.App), cell(e.Owner), e.Outcome,
		}
		for _, app := range []*tenant.App{e.Before, e.After} {
			text := []byte(nil)
			if app != nil {
				var err error
				if text, err = json.Marshal(app); err != nil {
					return err
				}
			}
			line = append(line, string(text))
		}
		lines = append(lines, line)
	}
	writeCSV(w, "audit", lines)
	return nil
}
