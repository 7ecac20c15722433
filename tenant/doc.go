// Package tenant keeps applications that are made and changed while the server
// runs. Each is a record that all nodes share; every node watches them, and what
// is changed counts on each within a second: in its auth.Directory, and for the
// connections that are there already.
//
// # What a change closes
//
// Who is connected to an app that is switched off or deleted is closed, as
// Kicked, and so is who has a subscription that the app's new rules do not allow.
// Tokens are judged when they are shown: a signing key that is taken away ends
// nobody that is in, and lets nobody in any more; nothing that it verified before
// is taken for granted. Publish keys and access keys count for single requests.
// That a client came over TLS, and from an origin that is listed, is judged when it
// comes too (auth.Gate). What began in an app that is gone before it is done finds
// no app, or, where a new one has its slug, not that one: a handshake whose backend
// was slow, a request whose body was.
//
// # Secrets
//
// A publish key only has to be recognized: its SHA-256 is kept, which is enough,
// since a key that is brought along must be long and those made here are random.
// Secrets that have to be used are kept encrypted (AES-256-GCM) under a master
// key, which all nodes have and the store has not; the id of the master key
// stands beside each, so that there may be two while one is replaced. Without a
// master key an app cannot have such secrets. Each kind of secret may be there
// twice, so that it can be replaced while it is in use (Store.Rotate).
//
// # Choices
//
//   - An app's slug is the name of its channel space. Where it is changed
//     (Store.Rename), its channels begin anew: what is stored stays under the old one.
//   - The slug of an app that was deleted, or has another one now, is not given to
//     another by itself, since messages of the first may still be stored under it;
//     Create does it if asked to (Draft.Reuse), and by itself if nothing can be
//     stored: the app never had a key of another kind than Key and Secrets, nor a
//     rule that makes channels logged.
//   - Two apps that claim the same host or key at the same moment, on two nodes,
//     may both be stored. The one with the smaller id is served, and the other one
//     not, on all nodes alike; Problem says so.
//   - A WebSocket API that is made here is never trusted: it reaches no internal
//     addresses but those that the operator listed, and runs no functions on this
//     server. API keys and access keys of its functions are sealed like other
//     secrets; a change that leaves one out keeps it, for the same endpoint.
//   - Webhooks, recorded events and networks without signatures are for apps of the
//     settings, and so is the default app: an app that is made here is found by its
//     keys, host, or the path that begins with its slug.
//   - Apps of the settings cannot be changed, and count before a record of the
//     same slug, host or key.
//   - Owners are records beside the apps, which name them; a password is kept as its
//     hash by argon2id, a token as its SHA-256. An owner who is deleted leaves his
//     name in his apps: who is given the same name has them.
//   - Nothing is changed that is not in the audit trail: an Entry is written
//     before, and its outcome after the change. An entry that has none is of a
//     server that died in between.
package tenant
