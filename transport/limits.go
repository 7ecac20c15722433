package transport

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/earshot-io/earshot"
)

// LimitConfig says what is refused at the door. Zero fields are no limit.
type LimitConfig struct {
	// Connections is how many connections the node carries.
	Connections int
	// ConnectRate is how many may begin in a second, all together.
	ConnectRate float64
	// PerAddress is how many connections one address may have, of IPv6 one network
	// of 64 bits, and PerUser one user of one application.
	PerAddress, PerUser int
}

// The names of the limits, as they are counted and told.
const (
	LimitConnections = "connections"
	LimitConnectRate = "connect_rate"
	LimitPerAddress  = "connections_per_address"
	LimitPerUser     = "connections_per_user"
)

// Limits count connections and refuse those that are too many. The methods may
// be called concurrently.
type Limits struct {
	config LimitConfig
	rate   *rate.Limiter // nil for none
	plain  Ticket        // of all that only count for the node
	open   atomic.Int64

	mu        sync.Mutex
	addresses map[netip.Addr]int
	users     map[user]int
	refused   map[string]uint64
}

type user struct{ app, uid string }

// NewLimits makes limits.
func NewLimits(c LimitConfig) *Limits {
	l := &Limits{config: c, addresses: map[netip.Addr]int{}, users: map[user]int{}, refused: map[string]uint64{}}
	l.plain.limits = l
	if c.ConnectRate > 0 {
		l.rate = rate.NewLimiter(rate.Limit(c.ConnectRate), max(int(c.ConnectRate), 1))
	}
	return l
}

// A Ticket is a connection's place under the limits. The nil Ticket is none.
type Ticket struct {
	limits  *Limits
	address netip.Addr
	user    user
}

// Enter takes a place for a connection from an address. The error says which
// limit refuses it, and when to come back: Unavailable if the node has no room,
// Limited if the client has too much.
func (l *Limits) Enter(from netip.Addr) (*Ticket, error) {
	if l.rate != nil && !l.rate.Allow() {
		return nil, l.refuse(earshot.Unavailable, LimitConnectRate, time.Second)
	}
	if n := l.open.Add(1); l.config.Connections > 0 && n > int64(l.config.Connections) {
		l.open.Add(-1)
		return nil, l.refuse(earshot.Unavailable, LimitConnections, 5*time.Second)
	}
	if l.config.PerAddress <= 0 {
		return &l.plain, nil
	}
	from = network(from)
	l.mu.Lock()
	full := l.addresses[from] >= l.config.PerAddress
	if !full {
		l.addresses[from]++
	}
	l.mu.Unlock()
	if full {
		l.open.Add(-1)
		return nil, l.refuse(earshot.Limited, LimitPerAddress, 5*time.Second)
	}
	return &Ticket{limits: l, address: from}, nil
}

// network is what one client has: an address, or of IPv6 all of a network.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if p, err := a.Prefix(64); err == nil && a.Is6() {
		return p.Addr()
	}
	return a
}

// Known says which user of which application it is, once that has been proved.
// It returns the ticket to keep. After an error the one it was called with is
// still held.
func (t *Ticket) Known(app, uid string) (*Ticket, error) {
	l := t.limits
	if l.config.PerUser <= 0 {
		return t, nil
	}
	u := user{app, uid}
	l.mu.Lock()
	full := l.users[u] >= l.config.PerUser
	if !full {
		l.users[u]++
	}
	l.mu.Unlock()
	if full {
		return t, l.refuse(earshot.Limited, LimitPerUser, 5*time.Second)
	}
	return &Ticket{limits: l, address: t.address, user: u}, nil
}

// Close gives the place back.
func (t *Ticket) Close() {
	if t == nil {
		return
	}
	l := t.limits
	l.open.Add(-1)
	if t == &l.plain {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	leave(l.addresses, t.address)
	leave(l.users, t.user)
}

// leave counts down, and forgets who has none.
func leave[K comparable](counts map[K]int, k K) {
	switch n := counts[k]; n {
	case 0:
	case 1:
		delete(counts, k)
	default:
		counts[k] = n - 1
	}
}

func (l *Limits) refuse(code earshot.Code, limit string, after time.Duration) error {
	l.mu.Lock()
	l.refused[limit]++
	l.mu.Unlock()
	return &earshot.Error{
		Code: code, Reason: "TOO_MANY_CONNECTIONS", RetryAfter: after,
		Text: fmt.Sprintf("the limit %q is reached; try again later", limit),
	}
}

// Refused returns how many connections each limit has refused.
func (l *Limits) Refused() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]uint64{LimitConnections: 0, LimitConnectRate: 0, LimitPerAddress: 0, LimitPerUser: 0}
	for k, n := range l.refused {
		all[k] = n
	}
	return all
}
