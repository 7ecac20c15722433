package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth/sigv4"
	core "github.com/earshot-io/earshot/gateway"
)

// TestSignedHandshake is 8.7: in the header and presigned, and what is wrong with
// a signature.
func TestSignedHandshake(t *testing.T) {
	a := app(api(func(g *earshot.Gateway) { route(g, "$connect").AuthorizationType = "AWS_IAM" }))
	a.AccessKeys = append(a.AccessKeys,
		earshot.AccessKey{ID: "AKCONNECT", Secret: "s", Allow: []earshot.Pattern{earshot.Glob("execute-api:Invoke:abc123/prod/$connect")}},
		earshot.AccessKey{ID: "AKMANAGE", Secret: "s", Allow: []earshot.Pattern{earshot.Glob(earshot.ManageConnections)}})
	n := serve(t, a, &earshot.App{Slug: "other", AccessKeys: []earshot.AccessKey{{ID: "AKOTHER", Secret: "s"}}})
	signed := func(key, secret string) func(*websocket.DialOptions) {
		r := httptest.NewRequest(http.MethodGet, n.base+"/prod", nil)
		sign(r, nil, key, secret)
		return func(o *websocket.DialOptions) {
			o.HTTPHeader.Set("Authorization", r.Header.Get("Authorization"))
			o.HTTPHeader.Set("X-Amz-Date", r.Header.Get("X-Amz-Date"))
		}
	}
	n.refuses(t, "/prod", nil, 403, sigText(sigv4.Missing), "MissingAuthenticationTokenException")
	n.dial("/prod", signed(accessKey, secretKey))
	if e := n.wait(t, core.Connect, 1); e.Conn.AccessKey != accessKey {
		t.Errorf("the event says of the key %q", e.Conn.AccessKey)
	}
	n.dial("/prod", signed("AKCONNECT", "s"))
	n.refuses(t, "/prod", signed("AKMANAGE", "s"), 403, "Forbidden", "AccessDeniedException")
	n.refuses(t, "/prod", signed("AKOTHER", "s"), 403, "Forbidden", "AccessDeniedException")
	if _, answer, err := n.try("/prod", signed(accessKey, "wrong")); err == nil || answer.StatusCode != 403 ||
		answer.Header.Get("x-amzn-ErrorType") != "InvalidSignatureException" {
		t.Errorf("a wrong secret: %v %v", answer, err)
	}
	if _, answer, err := n.try("/prod", signed("AKNOBODY", "s")); err == nil || answer.StatusCode != 403 ||
		answer.Header.Get("x-amzn-ErrorType") != "UnrecognizedClientException" {
		t.Errorf("an unknown key: %v %v", answer, err)
	}
	n.dial(presigned(n.base, "/prod", time.Now(), accessKey, secretKey))
	if _, answer, err := n.try(presigned(n.base, "/prod", time.Now().Add(-time.Hour), accessKey, secretKey)); err == nil || answer.StatusCode != 403 {
		t.Errorf("an old signature: %v %v", answer, err)
	}
}

// sigText is what is said of a signature that is missing.
func sigText(reason string) string {
	_, err := sigv4.Parse(httptest.NewRequest(http.MethodGet, "/", nil))
	if e := earshot.AsError(err); e.Reason == reason {
		return e.Text
	}
	return "?"
}
