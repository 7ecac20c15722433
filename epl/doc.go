// Package epl is the HTTP side of Ex Pusher Lite: an operator makes apps, and the
// servers of an app publish events to it. Its clients speak Phoenix Channels, so
// that unmodified programs of it, in front and behind, work with this server.
// Section numbers are those of its specification in this project.
//
// # The dialogue
//
//	POST /api/admin/apps                 Basic OPERATOR:PASSWORD     app[name]=Foo app      A.4
//	→ 201, Location: /api/admin/apps/foo-app
//	  {"data":{"id":1,"name":"Foo app","slug":"foo-app","key":"…","secret":"…","active":true}}
//	GET, PUT, PATCH, DELETE /api/admin/apps/foo-app, GET /api/admin/apps
//
//	POST /api/apps/foo-app/events        Basic KEY:SECRET            A.5
//	topic=news&event=msg&scope=public&payload={"x":1}
//	→ 200 {}
//	  and every client that has joined the Phoenix topic public:foo-app hears
//	  the event news:msg with {"x":1}
//
// Bodies are forms, multipart forms or JSON. What is asked for in a form as
// app[name] is {"app":{"name":…}} in JSON. Without an Accept that admits JSON the
// answer is 406, for a body of another type 415, for one that cannot be read 400.
//
// # Names
//
// An event of the scope public in the app foo-app goes to the channel
// public:foo-app: a Phoenix topic is the channel of that very name in its app,
// slug included. What is heard there is called news:msg for the event msg of the
// topic news, and msg for the topic #general: the event stays whole, however many
// colons there are in it. Channel, Event and Slug are these rules.
//
//	Ex Pusher Lite                        channel          event      heard as
//	scope public, topic news, event msg   public:foo-app   news:msg   Phoenix: topic public:foo-app, event news:msg
//	                                                                  Hotsock: channel public:foo-app, event news:msg
//	                                                                  notiflux: topic public:foo-app; it has no events
//	scope public, #general, event msg     public:foo-app   msg        likewise, event msg
//
// Such channels are live where no rule of the app says otherwise, and those of the
// scope public open to all who may connect (earshot.App.Rule). On a logged one, an
// event is stored as long as the app replays what was said before (App.Replay).
//
// # Limits
//
// A request has 1 MiB, and a form 1000 fields. A payload may have what any message
// may, or what the app's limits say, above which the answer is 413; more events
// than its limits allow are answered with 429. An event has 255 bytes, with the
// topic before it.
//
// # Choices
//
// Where the original crashes, or says nothing of use:
//
//   - Credentials are judged before the body is read. So a wrong secret is 401
//     whatever is in the body, and who has none sends nothing that is kept.
//   - Basic is recognized in any case. Bearer works too: with the operator's token
//     for apps, with a publish key of the app for events.
//   - Where nobody may administer the server, the admin API answers 401.
//   - Location is the path with the slug, where the app can be found.
//   - A slug has 64 characters at the most, as every app's here; it is cut. A name
//     of which nothing is left is refused: slug, can't be blank. The slug of a path
//     of this server has already been taken, and that of an app which was deleted
//     and may have left messages behind (tenant.Draft.Reuse).
//   - A character that is neither a letter nor spelled out is one of those that
//     become "-", as in the original, which knows no Chinese, among others.
//   - A name of blanks alone counts as absent; one of other white space is blank.
//   - All apps that were made while the server ran are listed, those of the other
//     admin API too; those of the settings are not. Of two live secrets the newest
//     is shown, and both are accepted. One that was made otherwise and has no
//     secret shows an empty one.
//   - Beyond the original, active, hosts and host are taken: hosts are those whose
//     pages may connect (origins), as bare names or in any form of tenant.App. An
//     app that is switched off is found by a change that switches it on, and by
//     nothing else. They are not shown, since an app has six members.
//   - id, slug, key and secret in a request say nothing.
//   - A new app has a key and a secret and no other keys. Reading it shows the
//     secret, as the protocol has it; that is not in the audit trail, and whatever
//     changes is.
//   - The operator alone is let in here, as in the original. Owners of single apps
//     use the other admin API.
//   - A scope may have colons. A Phoenix topic says its app by its second part, so
//     that such a topic is heard by who connects to the app by its path or host.
//   - A change is answered when it counts on this node, a second later at the most.
//   - A rename closes the app's connections, since their topics are no more.
//   - Of two changes of the same app at once both are done, one after another.
//   - topic, event and scope must be texts that are not empty. A payload that is
//     empty, or null in JSON, is {}.
//   - Events that begin with phx_ are refused, as Phoenix's clients would take them
//     for its own; so is a scope with which there is no channel.
//   - Https is forced for each app by itself (earshot.App.RequireTLS): events that
//     did not come over TLS are 403, before their credentials are judged.
//   - Other methods and paths are 404, as in the original.
package epl
