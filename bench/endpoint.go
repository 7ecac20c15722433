package bench

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// An endpoint is where connections go, and the handshake they send.
type endpoint struct {
	addr    netip.AddrPort
	request []byte
	// accept is the answer to the handshake's key.
	accept string
}

// newEndpoint resolves a ws:// URL; the token goes into its query.
func newEndpoint(wsURL, token string) (*endpoint, error) {
	u, err := url.Parse(wsURL)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "ws" {
		return nil, fmt.Errorf("%s: only ws:// can be measured, and the scheme is %q", wsURL, u.Scheme)
	}
	addr, err := resolve(u.Host, "80")
	if err != nil {
		return nil, err
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if token != "" {
		path += "?token=" + url.QueryEscape(token)
	}
	key := handshakeKey()
	return &endpoint{addr: addr, accept: acceptKey(key), request: []byte("GET " + path + " HTTP/1.1\r\n" +
		"Host: " + u.Host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n\r\n")}, nil
}

// resolve finds the address of host:port.
func resolve(hostport, port string) (netip.AddrPort, error) {
	if !strings.Contains(hostport, ":") {
		hostport = net.JoinHostPort(hostport, port)
	}
	a, err := net.ResolveTCPAddr("tcp4", hostport)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// handshakeKey returns a key as RFC 6455 §4.1 asks for. One serves all
// connections of a run: it guards against caches, of which there are none.
func handshakeKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// acceptKey returns the answer to a handshake's key (RFC 6455 §4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
