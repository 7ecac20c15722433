// Package gateway is what a WebSocket API of Amazon API Gateway means, apart from
// any wire: which route a message takes, what its integration is shown and what
// its answer says, whom an authorizer's policy lets in. It knows no connection and
// calls nobody; package invoke calls backends, and proto/gateway holds the
// dialogue. Section numbers are those of the specification of API Gateway in this
// project.
//
// An API is compiled once from an earshot.Gateway, and is immutable: its methods
// may be called concurrently.
package gateway
