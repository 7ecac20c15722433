package app

import (
	"context"
	"errors"
	"time"
)

// Stop drains and takes everything down, and returns when nothing of the server
// is left. When the context ends it hurries: what is still open is cut.
func (a *App) Stop(ctx context.Context) error {
	before := a.state.Swap(stopping)
	if before == stopping || before == created {
		return nil
	}
	if before == ready {
		a.log.Info("stopping")
		a.drain(ctx)
	}
	a.cancel()
	err := a.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, a.server.Close())
	}
	a.running.Wait()
	return errors.Join(err, a.unwind(ctx))
}

// drain says goodbye: first to load balancers, then to clients.
func (a *App) drain(ctx context.Context) {
	wait := time.NewTimer(time.Duration(a.config.Server.DrainWait))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	if err := a.hub.Drain(ctx, time.Duration(a.config.Server.DrainSpread)); err != nil {
		a.log.Warn("not every client was told that the server stops", "err", err)
	}
}
