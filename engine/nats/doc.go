// Package nats is the engine on NATS JetStream: embedded, with one locked data
// directory and no listener, or an external server or cluster. The two differ
// in how the connection is made, in one function (Engine.dial).
//
// # What is promised
//
// Embedded: an acknowledged message is on disk. A publish is stored, then one
// syncfs answers everybody who waits (group commit); where the filesystem is
// not ext4 on Linux, the server syncs each message instead, and the log says
// so. Messages of Store 0 promise nothing and do not wait for the disk.
// External: an acknowledged message is on a quorum of three servers, and on
// their disks if they run with sync always, which this package cannot see.
//
// # Order of locks
//
// Pipeline, barrier, calls, timeline, ledger, audits and buckets have a lock
// each; none is held while another is taken, for I/O or for foreign code. Two
// more are gates and held for I/O, since who comes has to wait for its outcome:
// Engine.gate while the clock is behind, and lifeKeeper.mu while the record of
// the stream's life is written.
//
// # Streams and subjects
//
//	EARSHOT        h.<app>.<bucket>.<levels>   what is stored
//	               d.<app>.<bucket>.<levels>   the same, republished to all nodes
//	               l.<app>.<bucket>.<levels>   live messages, never stored
//	               t                           control messages, never stored
//	EARSHOT_STATE  earshot.state.<key>         epoch, clock, removals; the newest of each key
//	EARSHOT_SPENT  earshot.spent.<app>.<hash>  tokens that were used, until they expire
//	EARSHOT_RECORDS earshot.records.<levels>   records; the newest of each key
//	EARSHOT_EVENTS earshot.event.<app>.<hash>  the outbox of events
//
// A stored message is an envelope: a version byte and CBOR. What comes from
// another node is decoded as untrusted input.
//
// # Records
//
// A record is the one message of its subject, and its revision that message's
// sequence. A removed record leaves a mark for a minute (a key-value store's purge
// marker, ADR-8; where its time ended, the server's, ADR-43), so that a watch
// learns of it; one that was away for longer compares what there is. The marks'
// minute does not lengthen the time of a record: the server does so only where a
// subject has more than one message. A record for a second ends within
// half a second of its time.
//
// Reads of one record go to the stream's leader, those of many to any replica
// that has come as far as the leader had; a new leader answers when it has all
// that was acknowledged. One that has lost its cluster, and does not know yet,
// answers with what was, for ten seconds at the most: a write, which needs the
// cluster, fails then, so who must be sure writes by revision. Embedded, records
// have an eighth of the store for themselves, and what is read is on disk: what a
// crash would undo is not shown.
//
// # The data directory
//
// It is locked while an engine runs on it. Who restores it from a backup makes
// an empty file "restored" in it, unless the directory itself was made anew:
// then the next start begins a new epoch, and clients that resume are told
// that continuity is broken, instead of missing what reuses their sequences.
package nats
