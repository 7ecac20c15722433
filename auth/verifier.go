package auth

import (
	"context"
	"time"
)

// A Spender remembers what may be used once, on all nodes and over restarts.
type Spender interface {
	// Spend reports whether jti is spent for the first time in app. What it
	// answers true to is on disk; it is remembered until then.
	Spend(ctx context.Context, app, jti string, until time.Time) (first bool, err error)
}

// A Verifier verifies tokens against the keys of the apps in a Directory.
type Verifier struct {
	apps    *Directory
	spender Spender
}

// NewVerifier makes a verifier.
func NewVerifier(apps *Directory, spender Spender) *Verifier {
	return &Verifier{apps: apps, spender: spender}
}
