package function_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth/sigv4"
	"github.com/earshot-io/earshot/function"
)

// aServer is what stands for the server itself: it verifies what the SDK signed.
func aServer(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if sigv4.Signed(r) {
			s, err := sigv4.Parse(r)
			if err == nil {
				err = s.Verify(r, body, "key-secret", now(), sigv4.Policy{Service: "execute-api"})
			}
			if err != nil || s.KeyID != "KEYID" {
				t.Errorf("the signature: %v", err)
			}
		}
		if r.RequestURI == "/prod/@connections/gone%3D" {
			w.Header().Set("X-Amzn-ErrorType", "GoneException")
			w.WriteHeader(http.StatusGone)
			return
		}
		fmt.Fprintf(w, "%s %s tls=%v %s", r.Host, r.RequestURI, r.TLS != nil, body)
	})
}

func TestProxyToServer(t *testing.T) {
	r := start(t, func(c *function.Config) {
		c.Handler = aServer(t)
		g := &c.Apps[0].Gateways[0]
		g.ManagementDomain, g.Hosts = "push.example.com:8443", []string{"ws.example.com"}
		c.Apps[0].Hosts = []string{"app.example.com"}
		g2 := gateway(fn(t, "other"))
		g2.ID = "zyx987"
		c.Apps = append(c.Apps, &earshot.App{Slug: "two", Gateways: []earshot.Gateway{g2}})
	}, fn(t, "f"), fn(t, "own", "AWS_ACCESS_KEY_ID=MINE", "AWS_SECRET_ACCESS_KEY=mine"))
	if got := r.must("f", orderOf("call", "L0SM9cOFvHcCIhw=", 0)); got != `"sent"` {
		t.Errorf("got %s", got)
	}
	r.fails("f", orderOf("call", "gone=", 0), "GoneException", "GoneException")
	for address, want := range map[string]string{
		"https://abc123.execute-api.eu-west-3.amazonaws.com/prod/x":   `"200 abc123.execute-api.eu-west-3.amazonaws.com /prod/x tls=true"`,
		"https://ABC123.execute-api.us-east-1.amazonaws.com/":         `tls=true`,
		"https://push.example.com:8443/y":                             `"200 push.example.com:8443 /y tls=true"`,
		"https://app.example.com/prod":                                `"200 app.example.com /prod tls=true"`,
		"https://ws.example.com/":                                     `"200 ws.example.com / tls=true"`,
		"https://lambda.us-east-1.amazonaws.com/2015":                 `"200 lambda.us-east-1.amazonaws.com /2015 tls=true"`,
		"http://abc123.execute-api.us-east-1.amazonaws.com/p":         `/p tls=false`,
		"https://ws.example.com/ zyx987.execute-api.r.amazonaws.com":  `"421 `,
		"https://abc123.execute-api.us-east-1.amazonaws.com:443/port": `/port tls=true`,
	} {
		if got := r.must("f", orderOf("get", address, 0)); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
	// What is of another app is not answered for: the name is not resolved here.
	for name, address := range map[string]string{
		"f": "https://zyx987.execute-api.us-east-1.amazonaws.invalid/", "own": "https://lambda.us-east-1.amazonaws.com:1/",
	} {
		if out, err := r.invoke(name, orderOf("get", address, 0)); err == nil {
			t.Errorf("%s: got %s", address, out)
		}
	}
	if strings.Contains(r.log.String(), "key-secret") || strings.Contains(r.log.String(), "Hello there") {
		t.Error("the log holds a secret or a payload")
	}
}

// TestProxyStrangers: nobody but a function's process may use the proxy, and not
// for what the machine has to itself.
func TestProxyStrangers(t *testing.T) {
	r := start(t, func(c *function.Config) { c.Handler = aServer(t) }, fn(t, "f"))
	env := r.must("f", orderOf("env", "", 0))
	_, rest, _ := strings.Cut(env, `"HTTPS_PROXY=`)
	address, _, _ := strings.Cut(rest, `"`)
	proxy, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	inside := httptest.NewServer(http.NotFoundHandler())
	defer inside.Close()
	key, _ := proxy.User.Password()
	for _, c := range []struct {
		user *url.Userinfo
		to   string
		want string
	}{
		{nil, "abc123.execute-api.us-east-1.amazonaws.com:443", "407"},
		{url.UserPassword(proxy.User.Username(), "guess"), "abc123.execute-api.us-east-1.amazonaws.com:443", "407"},
		{url.UserPassword("guess", key), "abc123.execute-api.us-east-1.amazonaws.com:443", "407"},
		{proxy.User, "abc123.execute-api.us-east-1.amazonaws.com:443", "200"},
		{proxy.User, inside.Listener.Addr().String(), "403"},
		{proxy.User, "169.254.169.254:80", "403"},
		{proxy.User, "[::1]:80", "403"},
		{proxy.User, "[::ffff:127.0.0.1]:80", "403"},
		{proxy.User, "0.0.0.0:80", "403"},
		{proxy.User, "nothing", "502"},
	} {
		if got := connect(t, proxy.Host, c.to, c.user); !strings.HasPrefix(got, "HTTP/1.1 "+c.want) {
			t.Errorf("%v to %s: got %s, want %s", c.user, c.to, got, c.want)
		}
	}
	r.fails("f", orderOf("exit", "", 1), function.TypeExit, "exit status 1")
	r.must("f", orderOf("", "", 0))
	if got := connect(t, proxy.Host, "abc123.execute-api.us-east-1.amazonaws.com:443", proxy.User); !strings.HasPrefix(got, "HTTP/1.1 407") {
		t.Errorf("the password of a process that is gone counts: %s", got)
	}
}

// connect asks a proxy for a connection and returns the first line that it answers.
func connect(t *testing.T, proxy, to string, user *url.Userinfo) string {
	t.Helper()
	c, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: to}, Host: to, Header: http.Header{}}
	if user != nil {
		key, _ := user.Password()
		plain := &http.Request{Header: http.Header{}}
		plain.SetBasicAuth(user.Username(), key)
		r.Header.Set("Proxy-Authorization", plain.Header.Get("Authorization"))
	}
	if err := r.Write(c); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(b[:n]), "\r\n")
	return line
}
