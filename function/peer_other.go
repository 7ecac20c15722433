//go:build !linux

package function

import (
	"log/slog"
	"net"
)

// own would let in only connections of a process; only Linux tells whose they are.
func own(l net.Listener, _ int, _ *slog.Logger) net.Listener { return l }
