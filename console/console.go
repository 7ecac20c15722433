package console

import (
	"embed"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
)

//go:embed page
var files embed.FS

// Dev is what the page of a development server works with.
type Dev struct {
	// App is the application's slug.
	App string `json:"app"`
	// Token connects, and may do everything.
	Token string `json:"token"`
	// PublishKey publishes by POST /publish.
	PublishKey string `json:"publish_key"`
}

// A Console serves the page. It is safe for concurrent use.
type Console struct {
	dev   *Dev
	ready func() error
}

// New makes a console; dev is nil on a production server. Ready says why the
// server does not serve, nil if it does.
func New(dev *Dev, ready func() error) *Console { return &Console{dev, ready} }

// Routes registers the page by ServeMux patterns.
func (c *Console) Routes(handle func(pattern string, h http.Handler)) {
	if c.dev == nil {
		handle("GET /{$}", http.HandlerFunc(c.status))
	} else {
		handle("GET /{$}", file("index.html"))
		handle("GET /console/app.js", file("app.js"))
		handle("GET /console/dev.json", http.HandlerFunc(c.devJSON))
	}
	handle("GET /console/style.css", file("style.css"))
	handle("GET /console/icon.svg", file("icon.svg"))
}

// policy is the page's (CSP level 3). 'self' covers its own WebSocket too.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

func file(name string) http.Handler {
	body, err := files.ReadFile("page/" + name)
	if err != nil {
		panic(err) // it is in the binary
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		secure(w.Header(), kinds[path.Ext(name)])
		_, _ = w.Write(body)
	})
}

func secure(h http.Header, kind string) {
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// status is the page of a production server.
func (c *Console) status(w http.ResponseWriter, _ *http.Request) {
	word := "is running"
	if err := c.ready(); err != nil {
		word = "is not ready"
	}
	body, err := files.ReadFile("page/status.html")
	if err != nil {
		panic(err) // it is in the binary
	}
	secure(w.Header(), kinds[".html"])
	_, _ = w.Write([]byte(strings.Replace(string(body), "is running", word, 1)))
}

func (c *Console) devJSON(w http.ResponseWriter, r *http.Request) {
	secure(w.Header(), "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !fromHere(r) {
		http.Error(w, "the keys of a development server are for pages opened on its own machine, as http://127.0.0.1 or http://localhost", http.StatusForbidden)
		return
	}
	body, err := json.Marshal(c.dev)
	if err != nil {
		http.Error(w, "internal", http.StatusInternalServerError) // three strings
		return
	}
	_, _ = w.Write(body)
}

// fromHere reports whether a request comes from this machine, for a page of
// this machine; see the package's comment.
func fromHere(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	return isLoopback(r.Host)
}

// isLoopback reports whether a Host is this machine's own name or address.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}
