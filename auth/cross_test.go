package auth_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// TestPagesOfOthers: a page of another site makes no use of the password that the
// operator's browser remembers.
func TestPagesOfOthers(t *testing.T) {
	o, err := auth.NewOperator(auth.OperatorConfig{User: "ann", Password: "open sesame", Token: "tok"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, site, origin string
		in                   bool
	}{
		{"POST", "cross-site", "https://evil.example", false},
		{"POST", "same-site", "https://other.earshot.example", false},
		{"POST", "", "https://evil.example", false}, // an older browser
		{"POST", "", "null", false},
		{"DELETE", "cross-site", "", false},
		{"POST", "same-origin", "https://earshot.example", true},
		{"POST", "none", "", true},
		{"POST", "", "https://earshot.example", true},
		{"POST", "", "", true}, // no browser
		{"GET", "cross-site", "https://evil.example", true},
	} {
		r := httptest.NewRequest(c.method, "https://earshot.example/admin/owners", http.NoBody)
		for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		for _, as := range []string{basic("ann", "open sesame"), basic("ann", "wrong")} {
			r.Header.Set("Authorization", as)
			_, err := o.Admit(t.Context(), r, netip.MustParseAddr("192.0.2.1"))
			if refused := earshot.CodeOf(err) == earshot.Forbidden && err != nil; refused == c.in {
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
}
