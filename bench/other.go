//go:build !linux

package bench

import (
	"context"
	"net"
	"time"
)

// A loop needs epoll.
type loop struct {
	up   int
	late histogram
}

func newLoop(*fleet, int, int, fleetPlan) (*loop, error) { return nil, ErrSystem }

func (*loop) run()                            {}
func (*loop) post(func())                     {}
func (*loop) open(int, int, chan<- struct{})  {}
func (*loop) reset()                          {}
func (*loop) stop()                           {}
func (*loop) faults([][]uint32) (none Faults) { return none }

// ServeFloor needs epoll.
func ServeFloor(context.Context, net.Listener) error { return ErrSystem }

func processUsage(int) (Usage, error) { return Usage{}, ErrSystem }

func ownCPU() time.Duration { return 0 }

func (*Machine) look() {}

func nap(d time.Duration) { time.Sleep(d) }
