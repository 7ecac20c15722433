package transport

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
)

// endless is a listener with a client always at hand.
type endless struct{ net.Listener }

func (endless) Accept() (net.Conn, error) {
	a, b := net.Pipe()
	_ = b.Close()
	return a, nil
}

func (endless) Close() error { return nil }

func TestDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDoor(2)
		srv := &http.Server{}
		d.Guard(srv)
		if srv.MaxHeaderBytes != 16<<10 || srv.ReadHeaderTimeout != 5*time.Second {
			t.Errorf("the server's bounds are %d, %v", srv.MaxHeaderBytes, srv.ReadHeaderTimeout)
		}
		ln := d.Listen(endless{}, nil)
		accepted := make(chan net.Conn)
		done := make(chan error)
		go func() {
			for {
				nc, err := ln.Accept()
				if err != nil {
					done <- err
					return
				}
				accepted <- nc
			}
		}()
		begin := time.Now()
		took := func() (net.Conn, time.Duration) {
			nc := <-accepted
			return nc, time.Since(begin).Round(time.Millisecond)
		}
		first, _ := took()
		second, at := took()
		if at != 0 || d.Waiting() != 2 {
			t.Fatalf("two were let in after %v, %d wait", at, d.Waiting())
		}
		srv.ConnState(first, http.StateActive) // holds
		srv.ConnState(first, http.StateHijacked)
		srv.ConnState(first, http.StateHijacked) // frees one place only
		third, at := took()
		if at != 0 {
			t.Errorf("an upgrade did not free its place for %v", at)
		}
		Asked(srv.ConnContext(t.Context(), second))
		fourth, at := took()
		if at != doorPatience {
			t.Errorf("a silent one held its place for %v", at)
		}
		Leave(srv.ConnContext(t.Context(), fourth))
		fifth, at := took()
		if at != doorPatience {
			t.Errorf("one that left held its place for %v", at-doorPatience)
		}
		srv.ConnState(fifth, http.StateClosed)
		sixth, _ := took()
		srv.ConnState(sixth, http.StateIdle)
		_, at = took()
		if at != doorPatience {
			t.Errorf("one that was answered held its place for %v", at-doorPatience)
		}
		_ = third
		time.Sleep(10 * doorPatience) // in the bubble: the one that asked still holds
		d.mu.Lock()
		if _, held := d.waiting[second]; !held {
			t.Error("a handshake that is being answered lost its place")
		}
		d.mu.Unlock()
		drained := make(chan struct{})
		go func() {
			for {
				select {
				case <-accepted:
				case err := <-done:
					if !errors.Is(err, net.ErrClosed) {
						t.Error(err)
					}
					close(drained)
					return
				}
			}
		}()
		_ = ln.Close()
		<-drained
		synctest.Wait()
		d.mu.Lock()
		all := slices.Collect(maps.Keys(d.waiting))
		d.mu.Unlock()
		for _, nc := range all {
			d.leave(nc)
		}
	})
}

// TestSilentCrowdKeepsNobodyOut: a thousand that say nothing delay who comes
// behind them by no more than a client waits for.
func TestSilentCrowdKeepsNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDoor(0)
		ln := d.Listen(endless{}, nil)
		begin := time.Now()
		var all []net.Conn
		for range 1001 {
			nc, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, nc)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the one behind them came in after %v", took)
		}
		for _, nc := range all {
			d.leave(nc)
		}
	})
}

func TestLimits(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	l := NewLimits(LimitConfig{Connections: 3, PerAddress: 2, PerUser: 1})
	enter := func(from netip.Addr, limit string) *Ticket {
		t.Helper()
		ticket, err := l.Enter(from)
		if (err == nil) != (limit == "") || err != nil && !strings.Contains(err.Error(), `"`+limit+`"`) {
			t.Errorf("want a refusal by %q, got %v", limit, err)
		}
		return ticket
	}
	first := enter(a, "")
	second := enter(a, "")
	enter(a, LimitPerAddress)
	third := enter(b, "")
	enter(b, LimitConnections)
	third, err := third.Known("acme", "jo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Known("acme", "jo"); earshot.CodeOf(err) != earshot.Limited {
		t.Errorf("a user's second connection: %v", err)
	}
	if second, err = second.Known("other", "jo"); err != nil {
		t.Errorf("another application's user: %v", err)
	}
	third.Close()
	if third, err = enter(b, "").Known("acme", "jo"); err != nil {
		t.Errorf("after the first one ended: %v", err)
	}
	for _, ticket := range []*Ticket{first, second, third, nil} {
		ticket.Close()
	}
	if len(l.addresses) != 0 || len(l.users) != 0 || l.open.Load() != 0 {
		t.Errorf("left behind: %v %v %d", l.addresses, l.users, l.open.Load())
	}
	want := map[string]uint64{LimitConnections: 1, LimitPerAddress: 1, LimitPerUser: 1, LimitConnectRate: 0}
	for limit, n := range l.Refused() {
		if n != want[limit] {
			t.Errorf("%s refused %d", limit, n)
		}
	}
}

func TestConnectRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(LimitConfig{ConnectRate: 10})
		count := func() (n int) {
			for range 100 {
				if _, err := l.Enter(netip.Addr{}); err == nil {
					n++
				} else if e := earshot.AsError(err); e.Code != earshot.Unavailable || e.RetryAfter <= 0 {
					t.Errorf("refused with %+v", e)
				}
			}
			return n
		}
		if n := count(); n != 10 {
			t.Errorf("%d at once", n)
		}
		time.Sleep(500 * time.Millisecond)
		if n := count(); n != 5 {
			t.Errorf("%d after half a second", n)
		}
	})
}

// TestClientSaysTLS: a proxy that adds its word to the client's is not overruled.
func TestClientSaysTLS(t *testing.T) {
	p := Proxies{netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct {
		said   []string
		secure bool
	}{
		{[]string{"https", "http"}, false},
		{[]string{"http", "https"}, false},
		{[]string{"https, http"}, false},
		{[]string{"https", "WSS"}, true},
		{[]string{""}, false},
	} {
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-Proto": test.said}}
		if _, secure := p.Client(r); secure != test.secure {
			t.Errorf("%q: %v", test.said, secure)
		}
	}
}

// TestAddressOfIPv6: one client has a whole network, and has one address's share.
func TestAddressOfIPv6(t *testing.T) {
	l := NewLimits(LimitConfig{PerAddress: 1})
	enter := func(from string) (*Ticket, bool) {
		ticket, err := l.Enter(netip.MustParseAddr(from))
		return ticket, err == nil
	}
	first, ok := enter("2001:db8:0:1::1")
	if _, again := enter("2001:db8:0:1:ffff::2"); !ok || again {
		t.Errorf("the first %v, the second of the network %v", ok, again)
	}
	for _, other := range []string{"2001:db8:0:2::1", "192.0.2.1", "192.0.2.2"} {
		if _, ok := enter(other); !ok {
			t.Errorf("%s is refused", other)
		}
	}
	first.Close()
	if _, ok := enter("2001:db8:0:1:ffff::2"); !ok {
		t.Error("the place that was given back is not there")
	}
}

func TestClientBehindProxies(t *testing.T) {
	p := Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, test := range []struct {
		peer, forwarded, proto string
		want                   string
		secure                 bool
	}{
		{"192.0.2.7:1", "203.0.113.1", "https", "192.0.2.7", false},
		{"10.0.0.1:1", "", "", "10.0.0.1", false},
		{"10.0.0.1:1", "203.0.113.1", "https", "203.0.113.1", true},
		{"10.0.0.1:1", "6.6.6.6, 203.0.113.1, 10.9.9.9", "", "203.0.113.1", false},
		{"10.0.0.1:1", "6.6.6.6, nonsense, 10.9.9.9", "", "10.9.9.9", false},
		{"10.0.0.1:1", "10.1.1.1,10.2.2.2", "", "10.1.1.1", false},
		{"[::1]:1", "[2001:db8::1]:443", "WSS", "2001:db8::1", true},
		{"[::ffff:10.0.0.1]:1", "2001:db8::2", "http", "2001:db8::2", false},
	} {
		r := &http.Request{RemoteAddr: test.peer, Header: http.Header{}}
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-For", test.forwarded)
		}
		if test.proto != "" {
			r.Header.Set("X-Forwarded-Proto", test.proto)
		}
		if addr, secure := p.Client(r); addr.String() != test.want || secure != test.secure {
			t.Errorf("%+v: got %v, %v", test, addr, secure)
		}
	}
}
