// Package app wires the server together. It is the only package that knows
// all the others: a New that checks, a Start that listens, a Stop that drains
// and takes everything down again in reverse.
//
// # The order of a start
//
// The listener is opened first and answers at once: /healthz with yes,
// everything else with "starting". Meanwhile the engine recovers what is stored;
// then the hub, the transport, the protocols and the mux are put on it, and
// /readyz says yes. Whatever fails takes down what was there.
//
// # The order of a stop
//
// /readyz says "stopping" for as long as load balancers need to see it; then
// the hub closes the connections, spread over time; then the HTTP server ends,
// with the requests under way; then transport, hub and engine.
package app
