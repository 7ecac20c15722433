// Package faults holds the tests that harm a running server: they kill it with
// SIGKILL while publishers run, start it again on the same directory, and read
// back over the client's own API what it had acknowledged. The server is the
// real binary in a process of its own.
//
// `make test` runs a few rounds; EARSHOT_SOAK=n asks for n.
package faults
