package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot/app"
)

// call makes a request with the publish key, and returns status and body.
func call(t *testing.T, a *app.App, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+a.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+publishKey)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

type schedules struct {
	Schedules []struct{ ID, ScheduleARN, At, Channel, Event, Key string }
	More      bool
}

func list(t *testing.T, a *app.App, query string) (all schedules) {
	t.Helper()
	status, body := call(t, a, http.MethodGet, "/schedules"+query, "")
	if err := json.Unmarshal([]byte(body), &all); err != nil || status != http.StatusOK {
		t.Fatalf("listing: %d %s", status, body)
	}
	return all
}

// TestSchedules: what was scheduled is listed in pages, can be taken back by its
// id and by its ARN, and is not listed any more.
func TestSchedules(t *testing.T) {
	a := up(t, start(t, settings(t), app.Options{Open: inMemory, Protocols: app.Protocols()}))
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	var arns []string
	for i := range 5 {
		status, body := call(t, a, http.MethodPost, "/publish", fmt.Sprintf(
			`{"channel":"c/%d","event":"e","data":%d,"eagerIdGeneration":true,"scheduleExpression":"at(%s)"}`, i, i, at.Format("2006-01-02T15:04:05")))
		var answer struct{ Channel, Event, ID, ScheduleARN string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusAccepted || answer.ID != "" {
			t.Fatalf("scheduling: %d %s", status, body)
		}
		arns = append(arns, answer.ScheduleARN)
	}
	status, body := call(t, a, http.MethodPost, "/publish", fmt.Sprintf(
		`{"channel":"c","event":"hotsock.channelStorageSet","key":"k","data":1,"store":3600,"scheduleExpression":"at(%s)"}`, at.Format("2006-01-02T15:04:05")))
	if status != http.StatusAccepted {
		t.Fatalf("scheduling a write: %d %s", status, body)
	}
	// The end of an entry is a timer, too, that nobody scheduled.
	if status, body := call(t, a, http.MethodPost, "/publish", `{"channel":"c","event":"hotsock.channelStorageSet","key":"now","data":1,"store":3600}`); status != http.StatusAccepted {
		t.Fatalf("writing: %d %s", status, body)
	}

	all := list(t, a, "")
	if len(all.Schedules) != 6 || all.More {
		t.Fatalf("listed %+v", all)
	}
	for i, s := range all.Schedules {
		want := fmt.Sprintf("c/%d e ", i)
		if i == 5 {
			want = "c hotsock.channelStorageSet k"
		} else if s.ScheduleARN != arns[i] || !strings.HasPrefix(arns[i], "arn:aws:scheduler:us-east-1:000000000000:schedule/main/"+s.ID) {
			t.Errorf("%s is listed as %s", arns[i], s.ScheduleARN)
		}
		if got := s.Channel + " " + s.Event + " " + s.Key; got != want || s.At != at.Format(time.RFC3339) {
			t.Errorf("listed %+v, want %s at %v", s, want, at)
		}
	}
	page := list(t, a, "?limit=2&after="+all.Schedules[1].ID)
	if len(page.Schedules) != 2 || !page.More || page.Schedules[0] != all.Schedules[2] {
		t.Errorf("a page is %+v", page)
	}

	for name, c := range map[string]struct {
		id     string
		status int
	}{
		"by its id":            {all.Schedules[0].ID, http.StatusNoContent},
		"by its ARN":           {url.PathEscape(arns[1]), http.StatusNoContent},
		"of another app":       {url.PathEscape(strings.Replace(arns[2], "/main/", "/other/", 1)), http.StatusNotFound},
		"that nobody made":     {"01ARZ3NDEKTSV4RRFFQ69G5FAV", http.StatusNotFound},
		"that is none":         {"x", http.StatusNotFound},
		"that is a half ARN":   {"arn:aws", http.StatusNotFound},
		"of the server itself": {url.PathEscape("~entry.end"), http.StatusNotFound},
	} {
		if status, body := call(t, a, http.MethodDelete, "/schedules/"+c.id, ""); status != c.status {
			t.Errorf("cancelling one %s: %d %s", name, status, body)
		}
	}
	if status, _ := call(t, a, http.MethodDelete, "/schedules/"+all.Schedules[0].ID, ""); status != http.StatusNotFound {
		t.Errorf("cancelling again: %d", status)
	}
	if left := list(t, a, ""); len(left.Schedules) != 4 || left.Schedules[0] != all.Schedules[2] {
		t.Errorf("left is %+v", left)
	}
	for _, query := range []string{"?limit=0", "?limit=101", "?limit=x", "?after=x"} {
		if status, _ := call(t, a, http.MethodGet, "/schedules"+query, ""); status != http.StatusBadRequest {
			t.Errorf("%s: %d", query, status)
		}
	}
	if status, _ := get(t, a, "/schedules"); status != http.StatusUnauthorized {
		t.Errorf("without a key: %d", status)
	}
}

// TestScheduleRefused: a time that has passed, and one that is none.
func TestScheduleRefused(t *testing.T) {
	a := up(t, start(t, settings(t), app.Options{Open: inMemory}))
	for _, c := range []struct{ schedule, reason string }{
		{`"scheduleExpression":"at(2001-01-01T00:00:00)"`, "SCHEDULE_PAST"},
		{`"scheduleExpression":"tomorrow"`, "INVALID_SCHEDULE"},
		{`"scheduleExpression":"at(2099-01-01T00:00:00)","scheduleExpressionTimezone":"Mars"`, "INVALID_SCHEDULE"},
	} {
		status, body := call(t, a, http.MethodPost, "/publish", `{"channel":"c","event":"e",`+c.schedule+`}`)
		if status != http.StatusBadRequest || !strings.Contains(body, c.reason) {
			t.Errorf("%s is answered by %d %s", c.schedule, status, body)
		}
	}
}
