package nats

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// A life is what is recorded of the stream's life. Where sequences may be given
// a second time, another one begins: positions of the old one are worth nothing.
type life struct {
	Epoch uint16 `cbor:"1,keyasint"`
	// Created is when the stream was made, in nanoseconds.
	Created int64 `cbor:"2,keyasint"`

	// The rest is the embedded server's.

	// Boot is the run of the operating system, and Dir the directory itself.
	Boot string `cbor:"3,keyasint,omitempty"`
	Dir  string `cbor:"4,keyasint,omitempty"`
	// Clean says that the server was stopped in order, with Newest stored.
	Clean  bool   `cbor:"5,keyasint,omitempty"`
	Newest uint64 `cbor:"6,keyasint,omitempty"`
	// Early says that messages were delivered before the disk had them.
	Early bool `cbor:"7,keyasint,omitempty"`
}

// A lifeKeeper holds the record as it was last written.
type lifeKeeper struct {
	early atomic.Bool // what is recorded

	mu     sync.Mutex
	now    life
	shrunk time.Time // when the stream was first found to be too short; zero if it is not
}

const (
	keyLife = "life"
	// restoredFile in the data directory says that it comes from a backup.
	restoredFile = "restored"
)

// beginLife reads the record, and begins another life where that is needed.
func (e *Engine) beginLife(ctx context.Context, l *link) error {
	for {
		err := e.tryLife(ctx, l)
		if err == nil || !isConflict(err) {
			return err
		}
	}
}

func (e *Engine) tryLife(ctx context.Context, l *link) error {
	known := e.newest.Load() // before asking: it goes on rising
	info, err := l.log.Info(ctx)
	if err != nil {
		return err
	}
	old, revision, err := e.readLife(ctx, l)
	if err != nil {
		return err
	}
	now := life{Epoch: old.Epoch, Created: info.Created.UnixNano()}
	if e.config.embedded() {
		now.Boot, now.Dir = bootID(), identity(e.config.Dir)
	}
	switch reason := e.ended(&old, &now, revision, info.State.LastSeq, known); {
	case reason == "" && !e.config.embedded():
		if known := e.epoch.Load(); known != 0 && known != uint32(now.Epoch) {
			e.forget(info.State.LastSeq) // another node noticed first
		}
		e.lives(now)
		return nil
	case revision == 0:
		now.Epoch = firstEpoch()
	case reason != "":
		now.Epoch = nextEpoch(old.Epoch)
		e.log.Warn("a new epoch begins: clients that resume are told that continuity is broken", "reason", reason, "epoch", now.Epoch)
		e.forget(info.State.LastSeq)
	}
	if err := e.writeLife(ctx, l, now, revision); err != nil {
		return err
	}
	e.lives(now)
	if err := os.Remove(e.restored()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (e *Engine) restored() string { return filepath.Join(e.config.Dir, restoredFile) }

// ended says why the recorded life is over; empty if it goes on.
func (e *Engine) ended(old, now *life, revision, newest, known uint64) string {
	if revision == 0 {
		return "the log is new"
	}
	if old.Created != now.Created {
		return "the log was made anew"
	}
	if e.shrunk(newest < known) {
		return "the log has lost messages"
	}
	if !e.config.embedded() {
		return ""
	}
	if _, err := os.Stat(e.restored()); err == nil {
		return "the data directory was restored"
	}
	crashed := !old.Clean && (old.Boot != now.Boot || now.Boot == "")
	switch {
	case old.Dir != now.Dir && old.Dir != "" && now.Dir != "":
		return "the data directory is another one"
	case old.Clean && newest < old.Newest:
		return "the log has lost messages"
	case crashed && (old.Early || e.config.unsafe):
		return "the machine crashed, and messages had been delivered before the disk had them"
	}
	return ""
}

// shrunkFor is how long a cluster has to know less than it acknowledged before
// that is believed: a leader that has lost its cluster answers until it notices.
const shrunkFor = 30 * time.Second

// shrunk reports whether the stream has lost what this node has seen of it.
func (e *Engine) shrunk(less bool) bool {
	e.life.mu.Lock()
	defer e.life.mu.Unlock()
	switch {
	case !less:
		e.life.shrunk = time.Time{}
		return false
	case e.config.embedded():
		return true
	case e.life.shrunk.IsZero():
		e.life.shrunk = time.Now()
	}
	return time.Since(e.life.shrunk) >= shrunkFor
}

func (e *Engine) readLife(ctx context.Context, l *link) (v life, revision uint64, err error) {
	data, revision, err := l.get(ctx, keyLife)
	if err != nil || revision == 0 {
		return life{}, 0, err
	}
	return v, revision, e.codec.decode(data, &v)
}

func (e *Engine) writeLife(ctx context.Context, l *link, v life, revision uint64) error {
	data, err := e.codec.encode(&v)
	if err != nil {
		return err
	}
	if err := l.put(ctx, keyLife, data, revision); err != nil {
		return err
	}
	return e.sync(ctx)
}

// lives makes the record known.
func (e *Engine) lives(v life) {
	e.life.mu.Lock()
	e.life.now = v
	e.life.mu.Unlock()
	e.life.early.Store(v.Early)
	e.epoch.Store(uint32(v.Epoch))
}

// forget drops what was known of a life that is over; newest is the first
// sequence of the new one's past.
func (e *Engine) forget(newest uint64) {
	e.newest.Store(newest)
	e.barrier.durable.Store(0)
	e.audits.reset(newest)
	e.depths.clear()
}

// firstEpoch is drawn, so that a directory that was lost and made anew does not
// begin the same life again.
func firstEpoch() uint16 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	return max(binary.BigEndian.Uint16(b[:]), 1)
}

// nextEpoch never is 0, which means no position.
func nextEpoch(epoch uint16) uint16 { return max(epoch+1, 1) }

// recordEarly makes sure, before anything is delivered before the disk has it,
// that a start after a crash will know.
func (e *Engine) recordEarly() error {
	if e.life.early.Load() {
		return nil
	}
	e.life.mu.Lock()
	defer e.life.mu.Unlock()
	if e.life.early.Load() {
		return nil
	}
	l, err := e.linked()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.config.Deadline)
	defer cancel()
	v := e.life.now
	v.Early = true
	if err := e.rewriteLife(ctx, l, v); err != nil {
		return err
	}
	e.life.now = v
	e.life.early.Store(true)
	return nil
}

// endLife records that the server stops in order.
func (e *Engine) endLife(ctx context.Context, l *link) error {
	info, err := l.log.Info(ctx)
	if err != nil {
		return err
	}
	e.life.mu.Lock()
	defer e.life.mu.Unlock()
	v := e.life.now
	v.Clean, v.Newest = true, info.State.LastSeq
	return e.rewriteLife(ctx, l, v)
}

// rewriteLife writes a record that only this process writes.
func (e *Engine) rewriteLife(ctx context.Context, l *link, v life) error {
	_, revision, err := l.get(ctx, keyLife)
	if err != nil {
		return err
	}
	return e.writeLife(ctx, l, v, revision)
}
