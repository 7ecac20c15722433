package transport

import (
	"sync"
	"sync/atomic"
)

// chunk is how many descriptors one piece of the table has.
const chunk = 1024

// A table finds connections by descriptor, without a lock: descriptors are
// small numbers, so it is an array that grows by chunks. The zero table is empty.
type table struct {
	chunks atomic.Pointer[[]*[chunk]atomic.Pointer[Conn]]

	mu sync.Mutex // held to grow
}

// get returns the connection of a descriptor, nil if there is none.
func (t *table) get(fd int32) *Conn {
	chunks := t.chunks.Load()
	if chunks == nil || int(fd)/chunk >= len(*chunks) {
		return nil
	}
	return (*chunks)[fd/chunk][fd%chunk].Load()
}

// set makes c the connection of a descriptor; nil for none.
func (t *table) set(fd int32, c *Conn) {
	chunks := t.chunks.Load()
	if chunks == nil || int(fd)/chunk >= len(*chunks) {
		chunks = t.grow(int(fd)/chunk + 1)
	}
	(*chunks)[fd/chunk][fd%chunk].Store(c)
}

func (t *table) grow(n int) *[]*[chunk]atomic.Pointer[Conn] {
	t.mu.Lock()
	defer t.mu.Unlock()
	var grown []*[chunk]atomic.Pointer[Conn]
	if old := t.chunks.Load(); old != nil {
		grown = append(grown, *old...)
	}
	for len(grown) < n {
		grown = append(grown, new([chunk]atomic.Pointer[Conn]))
	}
	t.chunks.Store(&grown)
	return &grown
}

// all returns every connection.
func (t *table) all() []*Conn {
	chunks := t.chunks.Load()
	if chunks == nil {
		return nil
	}
	var all []*Conn
	for _, piece := range *chunks {
		for i := range piece {
			if c := piece[i].Load(); c != nil {
				all = append(all, c)
			}
		}
	}
	return all
}
