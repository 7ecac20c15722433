package ws

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 §4.2.2 asks for it
	"encoding/base64"
	"net/http"
	"net/textproto"
	"strings"
)

// maxURL bounds the request target; the token is in it.
const maxURL = 16 << 10

// isUpgrade reports whether a request asks for a WebSocket, rightly or not.
func isUpgrade(r *http.Request) bool {
	if r.ProtoMajor >= 2 {
		// HTTP/2 has no Upgrade header; the others tell what was meant.
		return r.Header.Get("Sec-WebSocket-Version") != "" || r.Header.Get("Sec-WebSocket-Key") != ""
	}
	return hasToken(r.Header, "Upgrade", "websocket")
}

// checkHandshake judges the request as RFC 6455 §4.2.1 does. It returns the
// status to refuse it with, and why; 0 if it is in order.
func checkHandshake(r *http.Request) (status int, why string) {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	switch {
	case r.ProtoMajor >= 2:
		return http.StatusHTTPVersionNotSupported, "WebSockets are offered over HTTP/1.1 only"
	case len(r.RequestURI) > maxURL:
		return http.StatusRequestURITooLong, "the URL is longer than 16 KB"
	case r.Method != http.MethodGet:
		return http.StatusBadRequest, "an upgrade is a GET request"
	case !r.ProtoAtLeast(1, 1):
		return http.StatusBadRequest, "an upgrade needs HTTP/1.1"
	case !hasToken(r.Header, "Connection", "upgrade"):
		return http.StatusBadRequest, "the Connection header does not say upgrade; a proxy may have removed it"
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return http.StatusUpgradeRequired, "only version 13 of the WebSocket protocol is spoken"
	case err != nil || len(key) != 16:
		return http.StatusBadRequest, "Sec-WebSocket-Key is missing or not 16 bytes of base64"
	}
	return 0, ""
}

// hasToken reports whether a header's lists have a token, in any case.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// offeredSubprotocols returns what the client offers, in its order.
func offeredSubprotocols(h http.Header) []string {
	var all []string
	for _, line := range h.Values("Sec-WebSocket-Protocol") {
		for s := range strings.SplitSeq(line, ",") {
			if s = strings.TrimSpace(s); s != "" {
				all = append(all, s)
			}
		}
	}
	return all
}

// acceptKey answers the client's key (RFC 6455 §4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// answer is the 101 that accepts the upgrade. Of the protocol's headers, those
// that belong to the handshake itself are left out.
func answer(key, subprotocol, extensions string, more http.Header) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	b.WriteString(acceptKey(key))
	b.WriteString("\r\n")
	if subprotocol != "" {
		b.WriteString("Sec-WebSocket-Protocol: " + subprotocol + "\r\n")
	}
	if extensions != "" {
		b.WriteString("Sec-WebSocket-Extensions: " + extensions + "\r\n")
	}
	own := map[string]bool{"Upgrade": true, "Connection": true, "Content-Length": true, "Transfer-Encoding": true}
	for name := range more {
		if strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), "Sec-Websocket-") {
			own[name] = true
		}
	}
	_ = more.WriteSubset(&b, own) // a Buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}
