package nats

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/earshot-io/earshot"
)

// Spend reports whether jti is spent for the first time in app; see
// auth.Spender. A token whose first use has no known outcome counts as used.
func (e *Engine) Spend(ctx context.Context, app, jti string, until time.Time) (first bool, err error) {
	l, err := e.linked()
	if err != nil {
		return false, err
	}
	if e.low.Load() {
		return false, earshot.Errorf(earshot.Full, "storage is full")
	}
	ctx, cancel := contextFor(ctx, e.config.Deadline)
	defer cancel()
	hash := sha256.Sum256([]byte(jti))
	m := natsgo.NewMsg(subjectSpent + string(appendLevel(nil, app)) + "." + hex.EncodeToString(hash[:16]))
	m.Header[headerTTL] = []string{seconds(until.Sub(e.config.Now()) + time.Second)}
	_, err = l.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(0))
	switch {
	case isConflict(err):
		return false, nil
	case err != nil:
		return false, unavailable(err)
	}
	if err := e.sync(ctx); err != nil {
		return false, unavailable(err)
	}
	return true, nil
}
