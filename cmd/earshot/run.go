package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/earshot-io/earshot/app"
	"github.com/earshot-io/earshot/config"
)

// newLog makes the log of a server.
func newLog(c *config.Config, out io.Writer) *slog.Logger {
	level, err := c.LogLevel()
	if err != nil {
		level = slog.LevelInfo // Check has reported it
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}

// runServer runs a server until it fails or somebody asks it to stop. Up is
// called once it is ready. A second signal makes it hurry.
func (w *world) runServer(a *app.App, up func() error) error {
	ctx, forget := w.signalled()
	defer forget()
	if err := a.Start(); err != nil {
		return err
	}
	err := a.Up(ctx)
	if err == nil {
		err = up()
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case <-a.Failed():
			err = a.Err()
		}
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil // asked to stop before it was ready
	}
	forget()
	hurry, forgetAgain := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer forgetAgain()
	return errors.Join(err, a.Stop(hurry))
}
