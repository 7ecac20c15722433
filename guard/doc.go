// Package guard keeps what the server calls for its apps out of the operator's own
// networks. Whoever may make an app at run time names addresses that the server
// then calls from where it stands: without a guard that would be a way around
// every firewall.
//
// A Guard looks at the address that is dialled, at the last moment, so that it
// does not matter what a name was resolved to before. What the operator lists is
// let through: networks, addresses and names of hosts.
package guard
