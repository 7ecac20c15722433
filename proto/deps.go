package proto

import (
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
)

// Deps is what the server lends an adapter.
type Deps struct {
	Hub  *hub.Hub
	Apps *auth.Directory
	// Tokens verifies tokens and spends single-use ones.
	Tokens *auth.Verifier
	// Remote is the address of the client behind a request, which trusted proxies
	// may name; nil where no events are recorded.
	Remote func(r *http.Request) netip.Addr
	Log    *slog.Logger
}
