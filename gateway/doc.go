// Package gateway is what a WebSocket API of Amazon API Gateway means, apart from
// any wire: which route a message takes, what its integration is shown and what
// its answer says, whom an authorizer's policy lets in. It knows no connection and
// calls nobody; package invoke calls backends, and proto/gateway holds the
// dialogue. Section numbers are those of the specification of API Gateway in this
// project.
//
// An API is compiled once from an earshot.Gateway, and is immutable: its methods
// may be called concurrently.
//
// # Choices
//
// Where the specification does not know what AWS does (its section 17), this is
// what happens here.
//
//   - Selection expressions (10). A variable is ${request.body.path} or, without
//     braces, as many of the characters A-Z a-z 0-9 _ . [ ] ' " * @ - behind
//     $request.body as there are; so $request.body.a-x asks for a member "a-x".
//     A path is of members, as .name, ['name'] or ["name"], and of items, as [0];
//     it begins with a member. Wildcards, filters and other variables are refused
//     when the API is compiled. A string is itself, a number as it was written,
//     true and false are words, null is empty as what is missing is; an array is
//     [a, b] and an object {k=v}, with null in them written out.
//   - A message is JSON if all of it is, strictly; only an object has members. Of
//     members with the same name the last counts, as it does for most that read the
//     message behind the route. An expression without variables does not look.
//   - A message that selects $connect or $disconnect, or any other key with a
//     dollar, takes $default (9).
//   - statusCode is 200 to 599: 0 and 1xx are a malformed answer (4), of messages too.
//     Within that, it does nothing to a message (11).
//   - null and nothing are answers on one-way routes of messages (12). What a
//     $disconnect is answered is not looked at.
//   - isBase64Encoded in a two-way answer makes a binary message of it (14), and so
//     does an answer of HTTP and HTTP_PROXY that is not UTF-8.
//   - An authorizer's answer without principalId, or with null in its context, is
//     invalid: 500 (15). So is one with the same name twice in an object. It may
//     take 10 seconds (16).
//   - What an authorizer said is told as texts (17). integrationLatency is what
//     asking it took, in CONNECT events alone and as a number; a value of that name
//     in its context is dropped.
//   - Policies know Effect, Action, Resource, Sid, and IpAddress and NotIpAddress of
//     aws:SourceIp. A statement with anything else, NotAction and NotResource among
//     them, allows nothing and denies all it could be about.
//   - The event of an authorizer has empty objects where there is no query.
//   - X-Amzn-Trace-Id, if the client sent none, is made of the connection, the same
//     for its authorizer and its integration.
//   - identity of a handshake that was signed has the access key as caller and user,
//     and the API's account.
//   - HTTP integrations are sent application/json for a message that is JSON,
//     application/octet-stream for a binary one, and text/plain otherwise; on
//     $disconnect nothing but what is mapped (13). Both HTTP and HTTP_PROXY are
//     shown the handshake's headers and query. Headers of one connection (RFC 9110,
//     7.6.1), Host and Content-Length are never forwarded and cannot be mapped.
//   - What a mapping names, and what the address has in its query, is the API's
//     alone: what a client sent under the name is dropped, even where the mapping has
//     no value for it, so that nobody can pass for somebody else.
//   - A value that is mapped and cannot be sent, such as one with an end of line in a
//     header, or ".." in a path, fails the call as Misconfigured. A path parameter is
//     escaped whole, slashes included.
//   - The key of an integration response is an expression that the whole status has
//     to fit; without one for the status the answer is malformed. MOCK answers 200,
//     to which the integration responses are applied.
//   - An API has 100 stages at the most, and 10,000 routes in all of them together;
//     the expression of an integration response has 256 bytes, and repeats something
//     100 times.
//   - A stage's default limit is each route's, as a bucket of its own. A rate without
//     a burst may save up one second.
//
// # Earshot's own members of an answer
//
// An integration's answer may have "join" and "leave": arrays of up to 100 names of
// channels that the connection is to hear from then on, or no more. "envelope" says
// whether what it hears there comes with its names.
package gateway
