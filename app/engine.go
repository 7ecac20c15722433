package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/config"
	"github.com/earshot-io/earshot/engine/nats"
	"github.com/earshot-io/earshot/hub"
)

// An Engine is what the server stands on.
type Engine interface {
	hub.Engine
	hub.Outbox
	auth.Spender
	// Ready reports whether messages can be stored and heard now, and if not, why.
	Ready() (ok bool, reason string)
}

var _ Engine = (*nats.Engine)(nil)

// openEngine opens the engine of the settings: the embedded one, in a directory
// of its own below the data directory, or an external cluster.
func openEngine(ctx context.Context, c *config.Config, log *slog.Logger) (Engine, error) {
	n := nats.Config{
		Cap: c.Engine.MessagesPerChannel, ResumeWindow: time.Duration(c.Engine.ResumeWindow), MaxStore: int64(c.Engine.MaxBytes),
		EventsBytes: int64(c.Events.MaxBytes), EventsKeep: time.Duration(c.Events.Keep),
	}
	if c.Engine.URL == "" {
		n.Dir = filepath.Join(c.Engine.Data, "log")
	} else {
		for server := range strings.SplitSeq(c.Engine.URL, ",") {
			n.URLs = append(n.URLs, strings.TrimSpace(server))
		}
		n.Credentials = c.Engine.Credentials
	}
	engine, err := nats.Open(ctx, n, log.With("part", "engine"))
	if err != nil {
		return nil, err // not a nil *nats.Engine in an Engine
	}
	return engine, nil
}
