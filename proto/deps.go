package proto

import (
	"log/slog"

	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/hub"
)

// Deps is what the server lends an adapter.
type Deps struct {
	Hub  *hub.Hub
	Apps *auth.Directory
	// Tokens verifies tokens and spends single-use ones.
	Tokens *auth.Verifier
	Log    *slog.Logger
}
