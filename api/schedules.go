package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
)

// Schedules are what waits for its time.
type Schedules interface {
	// List returns up to limit schedules of the app, in the order in which they
	// were made, those behind an id; empty for the first. It may return fewer; more
	// says whether there are others.
	List(ctx context.Context, a *earshot.App, after string, limit int) (all []Scheduled, more bool, err error)
	// Cancel removes one. It returns false if there is none, or it is just being
	// carried out.
	Cancel(ctx context.Context, a *earshot.App, id string) (bool, error)
}

// A Scheduled is a message or a write that waits for its time.
type Scheduled struct {
	ID, ARN string
	At      time.Time
	Channel string
	// Event is a message's, Key an entry's.
	Event, Key string
}

// scheduledItem is a Scheduled as it is listed.
type scheduledItem struct {
	ID      string `json:"id"`
	ARN     string `json:"scheduleArn"`
	At      string `json:"at"`
	Channel string `json:"channel"`
	Event   string `json:"event"`
	Key     string `json:"key,omitzero"`
}

// schedulesPage is how many are listed at once.
const schedulesPage = 100

// withSchedules are the routes that need them.
func (a *API) withSchedules(do func(http.ResponseWriter, *http.Request, *earshot.App) error) http.Handler {
	return a.keyed(func(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
		if a.schedules == nil {
			return errUnsupported("SCHEDULE_UNSUPPORTED", "schedules are not served here")
		}
		return do(w, r, app)
	})
}

// listSchedules lists what waits for its time, a page behind ?after=ID.
func (a *API) listSchedules(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
	q := r.URL.Query()
	limit := schedulesPage
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > schedulesPage {
			return invalid("LIMIT", "limit is a number from 1 to 100")
		}
		limit = n
	}
	after := q.Get("after")
	if after != "" {
		if _, err := earshot.ParseID(after); err != nil {
			return invalid("AFTER", "after is the id of a schedule")
		}
	}
	all, more, err := a.schedules.List(r.Context(), app, after, limit)
	if err != nil {
		return err
	}
	items := make([]scheduledItem, 0, len(all))
	for _, s := range all {
		items = append(items, item(&s))
	}
	write(w, http.StatusOK, map[string]any{"schedules": items, "more": more})
	return nil
}

func item(s *Scheduled) scheduledItem {
	i := scheduledItem{ID: s.ID, ARN: s.ARN, At: s.At.UTC().Format(time.RFC3339), Channel: s.Channel, Event: s.Event, Key: s.Key}
	if s.Key != "" {
		i.Event = setEntry
	}
	return i
}

// cancelSchedule takes back what waits for its time. A schedule is named by its
// id, or by its ARN.
func (a *API) cancelSchedule(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
	id := r.PathValue("id")
	if rest, ok := strings.CutPrefix(id, "arn:"); ok {
		slug, last, _ := strings.Cut(rest[strings.Index(rest, "/")+1:], "/")
		if slug != app.Slug {
			return errNoSchedule
		}
		id = last
	}
	if _, err := earshot.ParseID(id); err != nil {
		return errNoSchedule
	}
	cancelled, err := a.schedules.Cancel(r.Context(), app, id)
	if err == nil && !cancelled {
		err = errNoSchedule
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

var errNoSchedule = &earshot.Error{
	Code: earshot.NotFound, Reason: "SCHEDULE_NOT_FOUND", Text: "the app has no schedule of this id, or its time has come",
}
