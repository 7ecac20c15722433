// Package webhook tells an application's own server what happens on its
// channels: events are recorded in a durable outbox, posted to the addresses of
// the app's webhooks, signed, and can be read as a stream.
//
// # Promises
//
//   - What was recorded is not lost: an event leaves the outbox when every
//     webhook that wants it has answered 2xx, or has it among its dead letters,
//     or when the operator's bounds of time and space are reached, which is
//     logged. A publish that emits is acknowledged only when its event is
//     recorded. Other events are recorded by a queue in memory, which a process
//     that is killed takes with it.
//   - Events of one channel are told one after another, in the order in which
//     they were recorded, and events of one connection that belong to no channel
//     likewise: each such line waits for its own oldest event. Lines do not wait
//     for each other.
//   - Two nodes may record two messages of one channel in the other order. What
//     is recorded within a short hold (Config.Hold) is told in the order of the
//     messages' ids.
//   - An event may be told more than once, with the same webhook-id always: after
//     a crash, for what was told in the last seconds before it, and where an
//     answer was lost.
//
// # Requests
//
// An event is a POST of the JSON envelope {"source","type","metadata","data",
// "dataType"}. The signature is that of Standard Webhooks: webhook-id,
// webhook-timestamp (seconds, of this try), and webhook-signature with
// "v1," and the base64 of HMAC-SHA256 over id.timestamp.body for each of the
// webhook's secrets, which are whsec_ and base64. A receiver refuses timestamps
// that are more than five minutes off, and ids that it has dealt with.
//
// 2xx is success. Redirects are not followed. Everything else is tried again
// after 1 s, 2 s, 4 s and so on up to ten minutes, with jitter, or after the
// answer's Retry-After, until the event is older than Config.GiveUp and was tried
// five times. Then, and at once for 410 Gone, it becomes a dead letter: kept for
// Config.DeadKeep, listed, and to be replayed, which puts it behind all others.
//
// # Bounds
//
// In memory are, of one webhook, up to 16 MiB of events, and as many lines as
// their names fit into its cursor, about 2,000 with names of 200 bytes: so many
// channels may be stuck before the others wait. 64 requests are under way at the
// most. The cursor is a record {"webhook", app, id}, written four times a second by the
// node that has the webhook's lease, and by its revision, so that a node that
// lost the lease without noticing cannot undo its successor.
//
// # Addresses
//
// An address that the operator wrote into the settings (Webhook.Trusted) is
// dialled whatever it is. Any other must be https, and the address that its name
// resolves to is checked when it is dialled, each time: only public unicast
// addresses are. Proxies of the environment are not used.
//
// # Choices
//
// Where the specification of the envelope (5.1) is silent:
//
//   - hotsockVersion is the version whose envelopes these are, 1.13.5.
//   - requestId is the event's id where no request had one, so that it is always
//     there. A message that its schedule published, or an entry that its time
//     ended, has the trigger server.schedule.
//   - Of what a server did, meta is absent from a message and {"uid":null,
//     "umd":null} of a storage entry. Data that is text is a JSON string; bytes are
//     base64, with "encoding":"base64" beside it.
//   - channelUpdated is told at most five times a second and channel, the last
//     number always. A subscription to a pattern is of no channel, and not told.
//   - A process that is killed leaves connections and subscriptions without their
//     end: there is nobody to record it. Members are recorded as removed by the
//     other nodes.
//   - 410 makes a dead letter and does not disable the webhook: what follows may
//     be taken, and nothing is lost by a proxy that says so for a minute.
package webhook
