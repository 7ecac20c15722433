package app_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/config"
)

// usedSince are the totals of an app, as the API tells them.
type usedSince struct {
	Rows  []struct{ Start string }
	Total struct {
		MessagesIn, MessagesOut, BytesIn, BytesOut, Calls, AuthFailures, PeakConnections int
	}
}

func readUsage(t *testing.T, a *app.App, path string) (u usedSince) {
	t.Helper()
	status, text := admin(t, a, http.MethodGet, path, "")
	if err := json.Unmarshal([]byte(text), &u); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, status, text)
	}
	return u
}

// runFor starts a server on settings, lets it be used, and stops it.
func runFor(t *testing.T, c *config.Config, use func(a *app.App)) {
	t.Helper()
	a, err := app.New(c, app.Options{})
	if err == nil {
		err = a.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	use(up(t, a))
	http.DefaultClient.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestUsageOverRestarts counts what was used before a server started again, and
// after, each once.
func TestUsageOverRestarts(t *testing.T) {
	c := administered(t)
	begun := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	for round := 1; round <= 2; round++ {
		runFor(t, c, func(a *app.App) {
			conn := dial(t, a)
			if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"event":"hotsock.subscribe","channel":"c"}`)); err != nil {
				t.Fatal(err)
			}
			read(t, conn)
			for range 3 {
				if status := publish(t, a, `{"channel":"c","event":"e","data":"12345678"}`); status != http.StatusAccepted {
					t.Fatal(status)
				}
				read(t, conn)
			}
			forged := token(t)
			forged = forged[:len(forged)-8] + "AAAAAAAA"
			if _, r, err := websocket.Dial(t.Context(), "ws://"+a.Addr().String()+"/v1?token="+forged, nil); err == nil || r.StatusCode != http.StatusUnauthorized {
				t.Fatal(r, err)
			}
			_ = conn.CloseNow()
		})
	}
	runFor(t, c, func(a *app.App) {
		for _, path := range []string{
			"/admin/apps/main/usage?from=" + begun, "/admin/apps/main/usage?granularity=day", "/api/admin/apps/main/usage?granularity=minute",
		} {
			u := readUsage(t, a, path)
			got := u.Total
			if got.MessagesIn != 6 || got.MessagesOut != 6 || got.BytesIn != 6*10 || got.BytesOut < 6*20 || got.Calls != 6 || got.AuthFailures != 2 || got.PeakConnections != 1 || len(u.Rows) == 0 {
				t.Errorf("%s: %+v", path, u)
			}
		}
		for path, accept := range map[string]string{
			"/admin/apps/main/usage.csv?granularity=day": "", "/admin/apps/main/usage?granularity=day&format=csv": "",
			"/admin/apps/main/usage?granularity=day": "text/csv, application/json;q=0.5",
		} {
			r, err := http.NewRequest(http.MethodGet, "http://"+a.Addr().String()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth("ann", "open sesame")
			r.Header.Set("Accept", accept)
			_, text := answer(t, r)
			lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
			sum := 0
			for _, line := range lines[min(1, len(lines)):] {
				var in int
				_, _ = fmt.Sscan(line[1], &in)
				sum += in
			}
			if err != nil || len(lines) < 2 || lines[0][0] != "start" || lines[0][7] != "peakConnections" || sum != 6 {
				t.Errorf("%s: %q, %v", path, text, err)
			}
		}
		for query, reason := range map[string]string{
			"granularity=week": "GRANULARITY", "from=then": "TIMES", "from=2026-01-02&to=2026-01-01": "TIMES", "format=xml": "FORMAT",
		} {
			if status, text := admin(t, a, http.MethodGet, "/admin/apps/main/usage?"+query, ""); status != http.StatusBadRequest || !strings.Contains(text, reason) {
				t.Errorf("%s: %d %s", query, status, text)
			}
		}
		if u := readUsage(t, a, "/admin/apps/main/usage?to=2020-01-01"); len(u.Rows) != 0 || u.Rows == nil {
			t.Errorf("long ago: %+v", u)
		}
		_, page := get(t, a, "/metrics")
		if !strings.Contains(page, "earshot_usage_written_total") {
			t.Error("nothing is said of what is written")
		}
	})
}

// TestFiguresOverNodes tells of two nodes what both have.
func TestFiguresOverNodes(t *testing.T) {
	options := together()
	c := administered(t)
	one := up(t, start(t, c, options))
	other := *c
	other.Engine.Data = t.TempDir()
	two := up(t, start(t, &other, options))
	for i, a := range []*app.App{one, two, two} {
		conn := dial(t, a)
		for _, channel := range []string{"common", fmt.Sprint("own-", i)} {
			if err := conn.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"event":"hotsock.subscribe","channel":%q}`, channel)); err != nil {
				t.Fatal(err)
			}
			read(t, conn)
		}
	}
	for _, a := range []*app.App{one, two} {
		soon(t, "both nodes answer", func() bool {
			_, text := admin(t, a, http.MethodGet, "/admin/apps/main/figures", "")
			return strings.Contains(text, `"connections":3,`) && strings.Contains(text, `"nodes":2,"missing":0`)
		})
		for path, want := range map[string]string{
			"/admin/apps/main/channels":             `{"channels":[{"name":"common","subscriptions":3},{"name":"own-0","subscriptions":1},{"name":"own-1","subscriptions":1},{"name":"own-2","subscriptions":1}],"more":false,"missing":0}`,
			"/admin/apps/main/channels?limit=2":     `{"channels":[{"name":"common","subscriptions":3},{"name":"own-0","subscriptions":1}],"more":true,"missing":0}`,
			"/admin/apps/main/channels?after=own-1": `{"channels":[{"name":"own-2","subscriptions":1}],"more":false,"missing":0}`,
			"/admin/apps/main/channels?limit=0":     `LIMIT`,
			"/admin/apps/main/channels?limit=1000":  `LIMIT`,
			"/admin/apps/nobodys/channels":          `APP_NOT_FOUND`,
		} {
			// A node that is slow to answer is left out, once.
			soon(t, path+" is "+want, func() bool {
				_, text := admin(t, a, http.MethodGet, path, "")
				return strings.Contains(text, want)
			})
		}
	}
	_, page := get(t, two, "/metrics")
	if !strings.Contains(page, `earshot_app_connections{app="main"} 2`) {
		t.Error("a node's metrics do not have its own connections")
	}
}
