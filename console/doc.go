// Package console is the built-in page. It needs no other server: everything
// it shows is in the binary, and its policy forbids any other source, inline
// scripts and frames.
//
// On a development server the page connects and publishes by itself. For that
// it asks for /console/dev.json, which holds a token and a publish key, so who
// may have that is decided here:
//
//   - The request must come from a loopback address, however the server listens:
//     others in the network may see the page, never the keys.
//   - The Host that it names must be localhost or a loopback address. A page of
//     another site whose name was made to point to 127.0.0.1 (DNS rebinding) is
//     of the same origin for the browser, but still names its own host.
//   - A browser that says that another site asks (Sec-Fetch-Site) is refused.
//     Without that header, other sites can send the request but not read its
//     answer, since it allows no other origin.
//   - A request that came through a proxy (Forwarded, X-Forwarded-*) is refused:
//     its loopback address is the proxy's.
//
// On a production server there is no such file, and the page says no more than
// that the server runs.
package console
