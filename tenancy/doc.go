// Package tenancy holds the tests of what many applications on one server have to
// do with each other: nothing. Random apps with random names, over every protocol
// and every HTTP call, on two nodes; keys that are rotated under load; logins that
// flood; and ten thousand apps at once.
//
// Every datum that a test sends carries its app and its channel (a mark), and
// whoever receives anything, a frame, an answer or an error, looks for the marks in
// it. Tongues are the protocols as these tests speak them: a protocol that the
// server has and that is not among them fails the suite.
//
// `make test` runs a few rounds; EARSHOT_SOAK=n asks for n.
package tenancy
