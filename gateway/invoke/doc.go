// Package invoke calls the integrations and authorizers of WebSocket APIs: it is
// the gateway.Backend of a server. What is sent and what an answer means is
// package gateway's; here is how it gets there and back.
//
// # What is called
//
// AWS_PROXY calls a function by Lambda's Invoke (10.1, 10.2): at the function's
// Endpoint, signed with its AccessKey if it has one; at AWS's own address in the
// function's region if it has a key alone; and otherwise here, by
// gateway.Functions. An Endpoint that already holds /2015-03-31/functions/ is
// called as it is, which is what the runtime interface emulator needs: it knows its
// one function as "function". A function that is not among the API's is asked of
// gateway.Functions.
//
// HTTP and HTTP_PROXY send what package gateway's Event.Request makes. HTTP_EVENT
// posts the event of AWS_PROXY and reads the answer of AWS_PROXY. Authorizers are
// functions, or addresses to which the event of an authorizer is posted, and which
// may refuse with 401 as well.
//
// What is posted as an event is signed, where the app has secrets, as webhooks
// are: webhook-id (the request's id), webhook-timestamp and webhook-signature of
// Standard Webhooks, once for each of the app's Secrets. The key is what a secret
// of the form whsec_… stands for, or else the bytes of the secret's text.
//
// # Bounds
//
// A call ends after the integration's timeout, or an authorizer's 10 seconds,
// whether it is the connection, the answer's head or its body that does not come.
// An answer may have 6 MB from a function, 1 MB from HTTP_EVENT, 128 KB where it is
// for a client, and 8 KB from an authorizer; where nobody is to have it, its head is
// enough. All answers that are held at one time may have 256 MB, those of one app a
// quarter of it, without the first 64 KB of each. Redirects are not followed, and the
// environment's proxies are not used. Nothing is sent twice, but a GET, HEAD or
// OPTIONS on a connection that turns out to be gone, as HTTP has it.
//
// An integration has up to Concurrency calls under way on a node; more are refused
// at once as Overloaded. So are all calls of one that could not be reached five
// times in a row, for a second, and twice as long each time that a single try then
// shows that it still cannot, up to 30 seconds. Functions that fail and answers that
// are late or malformed do not count for that: somebody is there. An integration is
// one of an app: what becomes of one's backend concerns no other's.
//
// # Addresses
//
// What an API that was made at run time names (earshot.Gateway.Trusted is not set)
// must be https and is dialled under package guard: internal addresses are refused,
// as Misconfigured, unless the operator listed them. A host that is listed, or an
// address in a listed network, may be called by http too.
package invoke
