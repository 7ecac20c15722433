package proto

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/reaction"
)

// Deps is what the server lends an adapter.
type Deps struct {
	Hub  *hub.Hub
	Apps *auth.Directory
	// Tokens verifies tokens and spends single-use ones.
	Tokens *auth.Verifier
	// Entries are channel storage, Reactions those to messages; nil where there
	// are none.
	Entries   *entry.Store
	Reactions *reaction.Store
	// Schedule carries out later what is asked for now; nil where nothing does.
	Schedule Scheduler
	// Gate judges whether a client may come to an app the way it does: an adapter
	// asks it about an app that nobody knew at the handshake, and about HTTP requests
	// of its own. Nil judges too.
	Gate *auth.Gate
	// Records keep what must outlive the node; nil where nothing does.
	Records hub.Records
	// Gateways calls the integrations and authorizers of WebSocket APIs; nil where
	// there are none.
	Gateways gateway.Backend
	// Client says from where a request came, behind proxies too, and whether by
	// TLS; nil if nobody knows.
	Client func(*http.Request) (addr netip.Addr, secure bool)
	// Enter takes a place under the node's limits for a connection that no edge
	// counts; nil where there are none. It fails as the limit that refuses it says.
	Enter func(from netip.Addr) (Place, error)
	Log   *slog.Logger
}

// A Place is a connection's, under the node's limits.
type Place interface {
	// Known says whose connection it is; it fails if that user has too many.
	Known(app, uid string) error
	// Leave gives the place back. It is called once.
	Leave()
}

// A Scheduler carries out later what is asked for now, for who may. It returns a
// name of the schedule, as AWS names them, and fails with Invalid for a time that
// has passed and for what could not be carried out then either.
type Scheduler interface {
	// Publish keeps a publication until its time.
	Publish(ctx context.Context, a *earshot.App, at time.Time, p hub.Publication) (arn string, err error)
	// Set keeps a write to a channel's storage until its time.
	Set(ctx context.Context, a *earshot.App, at time.Time, w entry.Write) (arn string, err error)
}
