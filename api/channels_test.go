package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/earshot-io/earshot/hub"
)

// get asks with a key.
func (w *world) get(target, key string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return w.do(r)
}

func TestChannel(t *testing.T) {
	w := newWorld(t)
	w.hub.info = hub.Info{Subscriptions: 12, Members: []hub.Member{{UID: "a", Meta: []byte(`{"n":1}`)}, {UID: `b"`}}}
	for target, want := range map[string]string{
		"/channels/my-channel":    `{"name":"my-channel","subscriptionsCount":12}`,
		"/channels/a%2Fb%2F..%2F": `{"name":"a/b/../","subscriptionsCount":12}`,
		"/channels/%C3%A5%25+%3F": `{"name":"å%+?","subscriptionsCount":12}`,
		"/channels/presence.p":    `{"name":"presence.p","subscriptionsCount":12,"members":[{"uid":"a","umd":{"n":1}},{"uid":"b\"","umd":null}]}`,
		"/channels/presence":      `{"name":"presence","subscriptionsCount":12}`,
		"/channels/%2e%2e":        `{"name":"..","subscriptionsCount":12}`,
	} {
		if got := w.get(target, "key-one"); got.Code != http.StatusOK || got.Body.String() != want {
			t.Errorf("%s gives %d %s, want %s", target, got.Code, got.Body, want)
		}
	}
	w.hub.info = hub.Info{}
	w.wants(w.get("/channels/nobody", "key-three"), http.StatusOK, `{"name":"nobody","subscriptionsCount":0}`)
	w.wants(w.get("/channels/presence.nobody", "key-three"), http.StatusOK, `{"name":"presence.nobody","subscriptionsCount":0,"members":[]}`)
	if last := w.hub.asked[len(w.hub.asked)-1]; last != "two presence.nobody" {
		t.Errorf("asked for %s", last)
	}
}

func TestChannelRefused(t *testing.T) {
	w := newWorld(t)
	w.wants(w.get("/channels/c", ""), http.StatusUnauthorized, "KEY_MISSING")
	w.wants(w.get("/channels/c", "key"), http.StatusUnauthorized, "KEY_UNKNOWN")
	for _, name := range []string{"a%20b", "%23", "a%2Ab", "a%2Cb", "%FF", "%E2%80%83"} {
		w.wants(w.get("/channels/"+name, "key-one"), http.StatusBadRequest, "CHANNEL_NAME")
	}
	if len(w.hub.asked) != 0 {
		t.Errorf("asked for %q", w.hub.asked)
	}
}
