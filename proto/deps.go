package proto

import (
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/entry"
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
	// Client says from where a request came, behind proxies too, and whether by
	// TLS; nil if nobody knows.
	Client func(*http.Request) (addr netip.Addr, secure bool)
	Log    *slog.Logger
}
