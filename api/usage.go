package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/earshot-io/earshot/tenant"
	"github.com/earshot-io/earshot/usage"
)

// usageRoutes registers what tells how apps are used.
func (a *API) usageRoutes(handle func(pattern string, h http.Handler)) {
	if a.usage == nil || a.live == nil {
		return
	}
	for _, end := range []string{"usage", "usage.csv"} {
		handle("GET /admin/apps/{slug}/"+end, a.owned(a.showUsage))
		// Where a server of Ex Pusher Lite has it, for operators as the rest there.
		handle("GET /api/admin/apps/{slug}/"+end, a.operated(a.showUsage))
	}
	handle("GET /admin/apps/{slug}/figures", a.owned(a.showFigures))
	handle("GET /admin/apps/{slug}/channels", a.owned(a.showChannels))
}

// used is the answer of showUsage.
type used struct {
	App         string            `json:"app"`
	Granularity usage.Granularity `json:"granularity"`
	From        time.Time         `json:"from"`
	To          time.Time         `json:"to"`
	Rows        []usage.Row       `json:"rows"`
	Total       usedTotal         `json:"total"`
}

// usedTotal is a row without a beginning.
type usedTotal struct {
	usage.Counts
	PeakConnections int `json:"peakConnections"`
}

func (a *API) showUsage(w http.ResponseWriter, r *http.Request, _ tenant.Actor) error {
	asked := r.URL.Query()
	g, err := usage.ParseGranularity(asked.Get("granularity"))
	if err != nil {
		return err
	}
	to, err := timeOf(asked.Get("to"), "to", time.Now().UTC())
	if err != nil {
		return err
	}
	from, err := timeOf(asked.Get("from"), "from", to.Add(-shown(g)))
	if err != nil {
		return err
	}
	csv, err := wantsCSV(r)
	if err != nil {
		return err
	}
	slug := r.PathValue("slug")
	id, err := a.numberOf(r.Context(), slug)
	if err != nil {
		return err
	}
	rows, err := a.usage.Read(r.Context(), slug, id, g, from, to)
	if err != nil {
		return err
	}
	if csv {
		writeCSV(w, "usage-"+slug+"-"+string(g), usageLines(rows))
		return nil
	}
	if rows == nil {
		rows = []usage.Row{}
	}
	total := usage.Total(rows)
	write(w, http.StatusOK, used{slug, g, from, to, rows, usedTotal{total.Counts, total.PeakConnections}})
	return nil
}

// shown is how much is told to who does not say from when.
func shown(g usage.Granularity) time.Duration {
	switch g {
	case usage.Minute:
		return time.Hour
	case usage.Hour:
		return 24 * time.Hour
	}
	return 31 * 24 * time.Hour
}

// timeOf reads a time by RFC 3339, or a date, which begins in UTC.
func timeOf(text, name string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, invalid("TIMES", name+` is a time such as "2026-11-21T16:00:00Z", or a date such as "2026-11-21"`)
}

func usageLines(rows []usage.Row) [][]string {
	lines := [][]string{{"start", "messagesIn", "messagesOut", "bytesIn", "bytesOut", "calls", "authFailures", "peakConnections"}}
	for _, r := range rows {
		line := []string{r.Start.Format(time.RFC3339)}
		for _, n := range []uint64{r.MessagesIn, r.MessagesOut, r.BytesIn, r.BytesOut, r.Calls, r.AuthFailures, uint64(r.PeakConnections)} {
			line = append(line, strconv.FormatUint(n, 10))
		}
		lines = append(lines, line)
	}
	return lines
}

func (a *API) showFigures(w http.ResponseWriter, r *http.Request, _ tenant.Actor) error {
	slug := r.PathValue("slug")
	if err := a.exists(r.Context(), slug); err != nil {
		return err
	}
	f, err := a.live.Figures(r.Context(), slug)
	if err == nil {
		write(w, http.StatusOK, f)
	}
	return err
}

func (a *API) showChannels(w http.ResponseWriter, r *http.Request, _ tenant.Actor) error {
	slug, limit := r.PathValue("slug"), usage.MaxChannels
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > usage.MaxChannels {
			return invalid("LIMIT", "limit is a number from 1 to 100")
		}
		limit = n
	}
	if err := a.exists(r.Context(), slug); err != nil {
		return err
	}
	page, err := a.live.Channels(r.Context(), slug, r.URL.Query().Get("after"), limit)
	if err == nil {
		write(w, http.StatusOK, page)
	}
	return err
}
