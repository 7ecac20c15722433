package gateway

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
	"strings"

	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/proto"
)

// describe fills in what events say of the client.
func (h *handshake) describe() {
	r := h.request.HTTP
	domain := h.stage.API.ManagementDomain
	if domain == "" {
		domain = r.Host
	}
	h.conn = core.Connection{
		ID: h.id.String(), ConnectedAt: h.begun, Domain: domain, UserAgent: r.UserAgent(),
	}
	if h.request.Remote.IsValid() {
		h.conn.SourceIP = h.request.Remote.String()
	}
	h.shown = &core.Handshake{Header: fields(h.request), Query: r.URL.Query()}
	h.shown.ForwardedFor = forwardedFor(r)
	h.shown.ForwardedProto, h.shown.ForwardedPort = forwardedBy(r, h.request.Secure)
}

// forwardedFor is the header of the request with the peer's address behind it.
func forwardedFor(r *http.Request) string {
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		peer = r.RemoteAddr
	}
	if before := strings.Join(r.Header.Values("X-Forwarded-For"), ", "); before != "" {
		return before + ", " + peer
	}
	return peer
}

// forwardedBy says how the client reached the server: by which scheme and port.
func forwardedBy(r *http.Request, secure bool) (scheme, port string) {
	scheme, port = "http", "80"
	if secure {
		scheme, port = "https", "443"
	}
	if _, p, err := net.SplitHostPort(r.Host); err == nil {
		if _, err := strconv.ParseUint(p, 10, 16); err == nil {
			port = p
		}
	}
	return scheme, port
}

// fields are the request's headers with the client's own spelling of their names,
// where the server has kept it, and else with the usual one (6.1).
func fields(r *proto.Request) []core.Field {
	spelled := spelling(r.Head, r.HTTP.Header)
	all := []core.Field{{Name: "Host", Value: r.HTTP.Host}}
	for name, values := range r.HTTP.Header {
		as := spelled[name]
		for i, v := range values {
			f := core.Field{Name: usual(name), Value: v}
			if i < len(as) {
				f.Name = as[i]
			}
			all = append(all, f)
		}
	}
	return all
}

// spelling reads how a request's head as it came spells the names of its headers:
// by the name that net/http makes of each, in the order of its values. A name that
// does not stand there as often as it should is left out.
func spelling(head []byte, header http.Header) map[string][]string {
	as := map[string][]string{}
	for line := range bytes.Lines(head) {
		name, _, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 {
			continue
		}
		key := http.CanonicalHeaderKey(string(name))
		as[key] = append(as[key], string(name))
	}
	for name, spelled := range as {
		if len(spelled) != len(header[name]) {
			delete(as, name)
		}
	}
	return as
}

// usual is how a header's name is mostly spelled: not as net/http does it.
func usual(name string) string {
	if rest, ok := strings.CutPrefix(name, "Sec-Websocket-"); ok {
		return "Sec-WebSocket-" + rest
	}
	if strings.EqualFold(name, "x-api-key") {
		return "x-api-key"
	}
	return name
}
