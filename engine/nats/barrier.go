package nats

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A barrier makes what was written before it durable for everybody who waits:
// one syncfs answers all (group commit).
type barrier struct {
	group bool  // set before anything runs
	disk  *disk // the goroutine's; nil if there is no group commit
	wake  chan struct{}
	// reopen asks the goroutine to open the filesystem anew: a descriptor
	// reports an error once.
	reopen atomic.Bool
	// durable is the newest sequence that is on disk for sure.
	durable atomic.Uint64

	mu      sync.Mutex
	waiting []syncer
}

// A syncer waits for a barrier. Synced must not block.
type syncer interface{ synced(err error) }

// on reports whether there is a barrier; without, what is stored is as durable
// as it will be.
func (b *barrier) on() bool { return b.group }

// put lets s wait for the next barrier.
func (b *barrier) put(s syncer) {
	b.mu.Lock()
	b.waiting = append(b.waiting, s)
	b.mu.Unlock()
	b.signal()
}

// signal asks for a barrier.
func (b *barrier) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns who waits now.
func (b *barrier) take() []syncer {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := b.waiting
	b.waiting = nil
	return waiting
}

// runBarrier runs one barrier after the other while anybody waits.
func (e *Engine) runBarrier() {
	b := &e.barrier
	for {
		select {
		case <-e.ctx.Done():
			for _, s := range b.take() {
				s.synced(errStopped)
			}
			return
		case <-b.wake:
			e.pass()
		}
	}
}

// pass is one barrier: what was stored before it began is on disk when it ends.
func (e *Engine) pass() {
	b := &e.barrier
	waiting, upto, stored, n := b.take(), e.pipe.mark(), e.newest.Load(), e.links.Load()
	written := e.shown.newest.Load()
	begin := time.Now()
	var err error
	if b.reopen.Swap(false) {
		e.reopenDisk()
	}
	if b.on() && !e.config.unsafe {
		err = b.disk.sync()
	}
	e.stats.barriers.Add(1)
	e.stats.barrierNanos.Add(uint64(time.Since(begin)))
	if err != nil {
		e.breaks(n, "syncing the disk: "+err.Error())
	} else {
		b.durable.Store(stored)
		raise(&e.shown.durable, written)
		e.pipe.release(upto)
	}
	for _, s := range waiting {
		s.synced(err)
	}
}

// reopenDisk opens the filesystem anew; if that fails the old descriptor stays.
func (e *Engine) reopenDisk() {
	b := &e.barrier
	if d, ok, err := openDisk(e.config.Dir); err == nil && ok && b.on() {
		b.disk.close()
		b.disk = d
	}
}

// waiter is a syncer for who waits on a channel.
type waiter chan error

func (w waiter) synced(err error) { w <- err }

// sync returns when what was stored before is durable.
func (e *Engine) sync(ctx context.Context) error {
	if !e.barrier.on() {
		return nil
	}
	w := make(waiter, 1)
	e.barrier.put(w)
	select {
	case err := <-w:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
