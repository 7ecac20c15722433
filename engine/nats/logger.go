package nats

import (
	"fmt"
	"log/slog"
	"strings"
)

// A bridge is the embedded server's logger. The stock one exits the process on
// a fatal error, and with none such an error is silent; this one hands it on.
type bridge struct {
	log *slog.Logger
	// broken is told of what only a restart of the server mends.
	broken func(reason string)
}

// Noticef logs for debugging: what the server finds notable is its routine.
func (b *bridge) Noticef(format string, v ...any) {
	b.log.Debug("nats: " + fmt.Sprintf(format, v...))
}

// Warnf logs a warning.
func (b *bridge) Warnf(format string, v ...any) { b.log.Warn("nats: " + fmt.Sprintf(format, v...)) }

// Errorf logs an error; a write error has frozen a stream.
func (b *bridge) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	b.log.Error("nats: " + text)
	if strings.Contains(strings.ToLower(text), "write error") || strings.Contains(text, "failed to store a msg") {
		b.broken(text)
	}
}

// Fatalf logs an error and reports it: the server goes on half dead.
func (b *bridge) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	b.log.Error("nats: fatal: " + text)
	b.broken(text)
}

// Debugf is never called: the server's debugging is off.
func (b *bridge) Debugf(string, ...any) {}

// Tracef is never called: the server's tracing is off.
func (b *bridge) Tracef(string, ...any) {}
