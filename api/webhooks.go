package api

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/earshot-io/earshot"
)

// A hook is a webhook as it is listed.
type hook struct {
	ID          string   `json:"id"`
	URL         string   `json:"url"`
	Events      []string `json:"events"`
	Waiting     int      `json:"waiting"`
	Oldest      *string  `json:"oldest"`
	Behind      uint64   `json:"behind"`
	DeliveredAt *string  `json:"deliveredAt"`
	FailedAt    *string  `json:"failedAt"`
	Reason      string   `json:"reason,omitzero"`
	Dead        int      `json:"dead"`
	DeadMore    bool     `json:"deadMore,omitzero"`
}

// deadLetter is an event that a webhook did not take.
type deadLetter struct {
	ID       string         `json:"id"`
	Type     string         `json:"type"`
	Recorded *string        `json:"recordedAt"`
	Died     *string        `json:"diedAt"`
	Tries    int            `json:"tries"`
	Reason   string         `json:"reason"`
	Event    jsontext.Value `json:"event"`
}

// Bounds of what is listed and replayed at once.
const (
	deadPage   = 100
	maxReplay  = 1000
	replayTime = 5 * time.Minute
)

// webhooks lists the app's webhooks, and how they are.
func (a *API) webhooks(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
	states, err := a.events.List(r.Context(), app)
	if err != nil {
		return err
	}
	all := make([]hook, 0, len(states))
	for _, s := range states {
		all = append(all, hook{
			ID: s.ID, URL: s.URL, Events: s.Events, Waiting: s.Waiting, Oldest: moment(s.Oldest), Behind: s.Behind,
			DeliveredAt: moment(s.Delivered), FailedAt: moment(s.Failed), Reason: s.Reason, Dead: s.Dead, DeadMore: s.DeadMore,
		})
	}
	write(w, http.StatusOK, map[string]any{"webhooks": all})
	return nil
}

func moment(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(time.RFC3339Nano)
	return &s
}

// dead lists dead letters of a webhook, a page behind ?after=ID.
func (a *API) dead(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
	limit := deadPage
	if s := r.URL.Query().Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > deadPage {
			return invalid("LIMIT", "limit is a number from 1 to 100")
		}
		limit = n
	}
	letters, more, err := a.events.Dead(r.Context(), app.Slug, r.PathValue("id"), r.URL.Query().Get("after"), limit)
	if err != nil {
		return err
	}
	all := make([]deadLetter, 0, len(letters))
	for i := range letters {
		d := &letters[i]
		all = append(all, deadLetter{
			ID: d.ID, Type: string(d.Type), Recorded: moment(d.Recorded), Died: moment(d.Died), Tries: d.Tries, Reason: d.Reason, Event: d.Body,
		})
	}
	write(w, http.StatusOK, map[string]any{"events": all, "more": more})
	return nil
}

// replay tells a webhook once more of dead letters: of {"ids":[…]}, or of all.
func (a *API) replay(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return badBody(err)
	}
	var asked struct {
		IDs *[]string `json:"ids"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &asked); err != nil {
			return badJSON(err)
		}
	}
	var ids []string
	switch {
	case asked.IDs == nil:
	case len(*asked.IDs) == 0:
		return invalid("IDS", "ids is empty; without ids all are replayed")
	case len(*asked.IDs) > maxReplay:
		return &earshot.Error{Code: earshot.TooLarge, Reason: "IDS", Text: "ids may have 1000 at the most"}
	default:
		ids = *asked.IDs
	}
	// All of them may take longer than an answer usually does.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(replayTime))
	replayed, err := a.events.Replay(r.Context(), app.Slug, r.PathValue("id"), ids)
	if err != nil {
		return err
	}
	write(w, http.StatusAccepted, map[string]int{"replayed": replayed})
	return nil
}

// withEvents refuses where events are not kept.
func (a *API) withEvents(do func(http.ResponseWriter, *http.Request, *earshot.App) error) http.Handler {
	return a.keyed(func(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
		if a.events == nil {
			return &earshot.Error{Code: earshot.NotFound, Reason: "EVENTS_NOT_RECORDED", Text: "this server records no events"}
		}
		return do(w, r, app)
	})
}
