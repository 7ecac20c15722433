package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzPath: no path makes the server fail, or answers anything of the management
// API without a signature.
func FuzzPath(f *testing.F) {
	for _, path := range []string{
		"/prod/@connections/L0SM9cOFvHcCIhw%3D", "//prod//%40connections/a%2Fb%2Bc%3D?code=4000&reason=x", "/@channels/%ff", "/main/abc123/prod/@connections/x/@channels/y",
		"/prod", "/", "/%2F/@connections", "/prod/@connections/../@channels/x",
	} {
		f.Add("POST", path)
	}
	n := bareNode(f)
	h := n.protocol.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
	f.Fuzz(func(t *testing.T, method, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		r := newRequest("/")
		r.Method, r.URL, r.RequestURI = method, u, path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusForbidden:
			if w.Header().Get("x-amzn-ErrorType") == "" {
				t.Errorf("%s %q is refused without a type", method, path)
			}
		case http.StatusNotFound, http.StatusUpgradeRequired:
		default:
			t.Errorf("%s %q was answered %d", method, path, w.Code)
		}
	})
}
