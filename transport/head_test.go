package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serveHeads serves what Head says of each request; secure is TLS.
func serveHeads(t *testing.T, secure, keep bool) (address string, heads chan string) {
	t.Helper()
	d := NewDoor(0)
	d.KeepHeads(func() bool { return keep })
	heads = make(chan string, 16)
	// A body is read first, so that a request is over before the next.
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if secure != (r.TLS != nil && r.TLS.HandshakeComplete) {
			t.Errorf("the request says TLS %v", r.TLS)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		heads <- string(Head(r.Context()))
	}))
	d.Guard(s.Config)
	var config *tls.Config
	if secure {
		config = &tls.Config{NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{testCertificate(t)}} //nolint:gosec // of a test
	}
	s.Listener = d.Listen(s.Listener, config)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), heads
}

// testCertificate is one that httptest makes.
func testCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates[0]
}

func dialHeads(t *testing.T, address string, secure bool) net.Conn {
	t.Helper()
	var nc net.Conn
	var err error
	if secure {
		nc, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // of a test
	} else {
		nc, err = net.Dial("tcp", address)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// TestHead: a head is kept as it came, in however many pieces, of each request on a
// connection, with TLS and without.
func TestHead(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("tls ", secure), func(t *testing.T) {
			address, heads := serveHeads(t, secure, true)
			nc := dialHeads(t, address, secure)
			answers := bufio.NewReader(nc)
			for i := range 3 {
				head := fmt.Sprintf("POST / HTTP/1.1\r\nhOsT: x\r\nHeaderAuth%d: v\r\nContent-Length: 2\r\n", i)
				for _, piece := range []string{head[:1], head[1:30], head[30:] + "\r", "\nok"} {
					if _, err := io.WriteString(nc, piece); err != nil {
						t.Fatal(err)
					}
				}
				answer, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
				got := <-heads
				if i == 0 && got != head || !strings.HasSuffix(got, head[strings.Index(head, "hOsT"):]) {
					t.Errorf("request %d had the head %q, want %q", i, got, head)
				}
			}
		})
	}
}

// TestHeadOfNobody: nothing is kept where nobody asks for it.
func TestHeadOfNobody(t *testing.T) {
	address, heads := serveHeads(t, false, false)
	answer, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if got := <-heads; got != "" {
		t.Errorf("a head was kept: %q", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestHeadTooLong: a head that has no end is not kept.
func TestHeadTooLong(t *testing.T) {
	c := &headed{}
	for range 100 {
		c.keep([]byte(strings.Repeat("x", 1000)))
	}
	if c.whole() != nil || cap(c.head) > 4*headerBytes {
		t.Errorf("%d bytes are kept", cap(c.head))
	}
	c.next()
	c.keep([]byte("GET / HTTP/1.1\r\n\r\n"))
	if got := string(c.whole()); got != "GET / HTTP/1.1\r\n" {
		t.Errorf("the next head is %q", got)
	}
}

// TestPlainOnSecure: who speaks HTTP where TLS is spoken is told so, as by net/http.
func TestPlainOnSecure(t *testing.T) {
	address, _ := serveHeads(t, true, true)
	nc := dialHeads(t, address, false)
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(nc) // how it ends does not matter
	if !strings.Contains(string(got), "HTTP request to an HTTPS server") {
		t.Errorf("the answer is %q", got)
	}
}

// TestHeadOfHijacked: who takes the connection over gets the one below, and the
// slot at the door is free again.
func TestHeadOfHijacked(t *testing.T) {
	d := NewDoor(0)
	d.KeepHeads(func() bool { return true })
	var tcp atomic.Bool
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		nc, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, ok := bare(nc).(*net.TCPConn)
		tcp.Store(ok)
		_ = nc.Close()
	}))
	d.Guard(s.Config)
	s.Listener = d.Listen(s.Listener, nil)
	s.Start()
	defer s.Close()
	r, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, s.URL, nil)
	if answer, err := http.DefaultClient.Do(r); err == nil {
		_ = answer.Body.Close()
	}
	if !tcp.Load() || d.Waiting() != 0 {
		t.Errorf("taken over: TCP %v, %d at the door", tcp.Load(), d.Waiting())
	}
}
