package app

import (
	"net/netip"

	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/transport"
)

// newLimits makes the node's limits, and what takes places under them for
// connections that are none of package ws.
func (a *App) newLimits() (*transport.Limits, func(netip.Addr) (proto.Place, error)) {
	limits := transport.NewLimits(transport.LimitConfig{
		Connections: a.config.Limits.Connections, ConnectRate: float64(a.config.Limits.ConnectRate),
		PerAddress: a.config.Limits.ConnectionsPerAddress, PerUser: a.config.Limits.ConnectionsPerUser,
	})
	return limits, func(from netip.Addr) (proto.Place, error) {
		ticket, err := limits.Enter(from)
		if err != nil {
			return nil, err
		}
		return &place{ticket}, nil
	}
}

// A place is a connection's ticket.
type place struct{ ticket *transport.Ticket }

// Known says whose connection it is.
func (p *place) Known(app, uid string) (err error) {
	p.ticket, err = p.ticket.Known(app, uid)
	return err
}

// Leave gives the ticket back.
func (p *place) Leave() { p.ticket.Close() }
