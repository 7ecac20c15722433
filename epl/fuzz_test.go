package epl_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/epl"
	"github.com/earshot-io/earshot/hub"
)

// picky is a hub that checks what it is given.
type picky struct{}

func (picky) CountCall(*earshot.App)    {}
func (picky) CountRefusal(*earshot.App) {}
func (picky) Publish(_ context.Context, _ *earshot.App, p hub.Publication) (hub.Appended, error) {
	if m := p.Message; !json.Valid(m.Data) || m.Data[0] != '{' || m.Event == "" || earshot.CheckChannel(m.Channel) != nil || !strings.HasSuffix(m.Channel, ":a") {
		return hub.Appended{}, errors.New("it is not what can be published")
	}
	return hub.Appended{}, nil
}

// FuzzBody: whatever comes is published well-formed, or refused as the client's
// fault.
func FuzzBody(f *testing.F) {
	f.Add(form, "topic=t&event=e&scope=s&payload={}")
	f.Add(form, "topic[a][]=t&topic[a][b]=e&[]=1&][=2&a[[]]=3")
	f.Add(inJSON, `{"topic":"t","event":"e","scope":"s","payload":{"a":"\ud800"}}`)
	f.Add("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"topic\"\r\n\r\nt\r\n--b--")
	directory, err := auth.NewDirectory([]*earshot.App{{Slug: "a", Key: "k", Secrets: []string{"s"}}})
	if err != nil {
		f.Fatal(err)
	}
	mux := http.NewServeMux()
	epl.New(epl.Deps{
		Hub: picky{}, Apps: directory, Gate: auth.NewGate(auth.GateConfig{}), Ready: func() error { return nil }, Log: slog.New(slog.DiscardHandler),
	}).Routes(mux.Handle)
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := httptest.NewRequest(http.MethodPost, "/api/apps/a/events", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		r.SetBasicAuth("k", "s")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 413, 415, 422:
		default:
			t.Errorf("%s %q is answered with %d %s", kind, body, w.Code, w.Body)
		}
	})
}
