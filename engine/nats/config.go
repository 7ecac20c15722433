package nats

import (
	"cmp"
	"errors"
	"time"
)

// Config sets an engine up. Either Dir or URLs is needed; all else has defaults.
type Config struct {
	// Dir is the data directory of the embedded server.
	Dir string
	// URLs are the servers of an external cluster; nodes that share a cluster
	// share the log.
	URLs []string
	// Credentials is a file with the credentials of the external cluster, and CA
	// one with the certificates to trust; empty for none.
	Credentials, CA string

	// MaxStore bounds what the embedded server stores, in bytes; by default, and
	// at the most, 80 % of the filesystem. MaxMemory bounds what it keeps in
	// memory; 256 MiB by default.
	MaxStore, MaxMemory int64
	// MinFree is how many bytes of the filesystem stay free: below, nothing is
	// stored. By default a tenth of it or 1 GB, whichever is less; negative for
	// no such watch.
	MinFree int64
	// EventsBytes bounds the outbox, 1 GiB by default; of the embedded server's
	// store it takes an eighth at the most. EventsKeep is how long an entry stays
	// there; 72 h by default.
	EventsBytes int64
	EventsKeep  time.Duration
	// Cap is how many messages a channel keeps at the most; 10,000 by default.
	Cap int
	// ResumeWindow is how long a message that history does not show is kept for
	// those who resume; 5 minutes by default.
	ResumeWindow time.Duration
	// Deadline is when a publish without an answer has failed; 1 s by default.
	Deadline time.Duration
	// MaxInFlight is how many appends may be without outcome; 4,096 by default.
	// More wait up to 250 ms for their turn, and are then refused.
	MaxInFlight int
	// Buckets is how many parts channels are dealt to; a node hears whole
	// buckets. All nodes of a cluster need the same. By default 1: every node
	// hears everything, which is right for a handful of nodes.
	Buckets int
	// AuditEvery is how often a node looks for messages that did not reach it;
	// 10 s by default. TrimEvery is how often a channel is trimmed to its rule's
	// depth at the most; 1 minute by default.
	AuditEvery, TrimEvery time.Duration
	// Now is the clock, time.Now by default.
	Now func() time.Time

	// stamped replaces the server's timestamp of a stored message in tests of a
	// clock that steps.
	stamped func(seq uint64, at time.Time) time.Time
	// unsafe leaves the barrier out, for the test that shows that it is needed.
	unsafe bool
}

const (
	keyWindow   = 5 * time.Minute
	minTTL      = time.Second
	inFlightFor = 250 * time.Millisecond
)

func (c Config) withDefaults() (Config, error) {
	if (c.Dir == "") == (len(c.URLs) == 0) {
		return c, errors.New("nats: either a data directory or the URLs of a cluster are needed")
	}
	c.MaxMemory = cmp.Or(c.MaxMemory, 256<<20)
	c.EventsBytes = cmp.Or(c.EventsBytes, 1<<30)
	c.EventsKeep = cmp.Or(c.EventsKeep, 72*time.Hour)
	c.Cap = cmp.Or(c.Cap, 10_000)
	c.ResumeWindow = max(cmp.Or(c.ResumeWindow, 5*time.Minute), minTTL)
	c.Deadline = cmp.Or(c.Deadline, time.Second)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 4096)
	c.Buckets = max(c.Buckets, 1)
	c.AuditEvery = cmp.Or(c.AuditEvery, 10*time.Second)
	c.TrimEvery = cmp.Or(c.TrimEvery, time.Minute)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

func (c *Config) embedded() bool { return len(c.URLs) == 0 }

// The streams.
const (
	logStream    = "EARSHOT"
	stateStream  = "EARSHOT_STATE"
	spentStream  = "EARSHOT_SPENT"
	recordStream = "EARSHOT_RECORDS"
	eventStream  = "EARSHOT_EVENTS"
)
