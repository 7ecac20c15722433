// Package api is the server's own HTTP side: publishing and disconnecting for
// an application's backend, and health and metrics for whoever runs the server.
//
//	POST /publish                 a message, or an array of messages
//	POST /connections/disconnect  ends connections by id or by user
//	GET  /healthz                 200 while the process runs
//	GET  /readyz                  200 when it serves, else 503 with a word why
//	GET  /metrics                 Prometheus text
//
// The first two want a publish key of the app: Authorization: Bearer KEY. The
// key names the app; where the request's host names another, it is refused.
//
// # Publishing
//
// A message is an object with channel and event, and perhaps data (any JSON,
// 32 KiB), store (seconds of history, -1 for ever, 0 not at all),
// deduplicationId (within 5 minutes only the first one counts, the others are
// answered as success) and eagerIdGeneration (puts the id into the answer).
// Members that are not known are ignored, one that comes twice is an error. The
// answer is 202 with {"channel","event"} and, if asked for, {"id"}, when the
// message is as safe as its channel promises.
//
// An array holds up to 1000 messages in 10 MB. They are published in order, and
// each is answered in its place: as above, or {"error":…}. The status is 202 if
// all were published and 207 if not.
//
// # Errors
//
// Every error is {"error":{"code","message"}} with a status of its own for each
// earshot.Code; status.go has the table. A 504 says that the message may have
// been published: repeating it with the same deduplicationId is safe.
package api
