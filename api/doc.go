// Package api is the server's own HTTP side: publishing and disconnecting for
// an application's backend, and health and metrics for whoever runs the server.
//
//	POST /publish                 a message, or an array of messages
//	POST …/2015-03-31/functions/{name or ARN}/invocations
//	                              a message, as AWS's SDKs invoke Lambda functions
//	POST /connections/disconnect  ends connections by id or by user
//	GET  /channels/{name}         how many hear a channel, and who is present
//	GET  /channels/{name}/storage what a channel keeps under keys
//	GET  /schedules               what waits for its time
//	DELETE /schedules/{id}        takes it back
//	GET  /events                  the app's events, as a stream
//	GET  /webhooks                the app's webhooks, and how they are
//	GET  /webhooks/{id}/dead      events that a webhook did not take
//	POST /webhooks/{id}/replay    tells a webhook of them once more
//	GET  /healthz                 200 while the process runs
//	GET  /readyz                  200 when it serves, else 503 with a word why
//	GET  /metrics                 Prometheus text
//
// All but the last three want a publish key of the app: Authorization: Bearer
// KEY. The key names the app; where the request's host names another, it is
// refused.
//
// An app may require TLS (earshot.App.RequireTLS). What does not come over it, to
// this server or to a proxy that it trusts, is 403 TLS_REQUIRED, for Lambda an
// AccessDeniedException; a GET or HEAD is sent to https:// by 308 instead, on the
// same host and the usual port.
//
// Schedules are {"schedules":[{"id","scheduleArn","at","channel","event","key"}…],
// "more"}, a hundred at the most, in the order in which they were made: more behind
// one is asked for by ?after=ID. What is just being carried out cannot be taken
// back.
//
// A channel's name in a path is percent-encoded, a slash as %2F. A channel that
// nobody knows has no subscriptions and is no error; {"name","subscriptionsCount"}
// has "members" too where the name begins with "presence.".
//
// A channel's storage is {"items":[{"key","data","meta":{"uid","umd"}}…]}, sorted by
// key, a hundred at the most; "more":true says that there are others, which
// ?after=KEY asks for behind the last. ?keys=a,b asks for up to a hundred by name.
// Meta is who wrote last, null and null for a server.
//
// # Publishing
//
// A message is an object with channel and event, and perhaps
//
//	data                        any JSON, 32 KiB
//	store                       seconds of history; -1 for ever, 0 (the default) not at all
//	deduplicationId             within 5 minutes only the first on the channel counts
//	eagerIdGeneration           puts the message's id into the answer
//	emitPubSubEvent             tells the application's webhooks of it
//	scheduleExpression          at(2026-12-24T18:00:00): publish it then
//	scheduleExpressionTimezone  where that time is meant, as Europe/Berlin; else UTC
//
// Members that are not known are ignored, one that comes twice is an error. The
// answer is 202 with {"channel","event"}, perhaps {"id"} and {"scheduleArn"}, when
// the message is as safe as its channel promises. What deduplicationId keeps from
// being published is answered as success too, with an id that no message has. A
// scheduled message has no id before its time.
//
// Two events are commands. hotsock.channelStorageSet writes data under a key of
// the channel's storage, of null or {} clears it; store is how long it stays, for
// ever by default. hotsock.messageReaction reacts in the name of a user: data is
// {"messageId","reaction","action","uid"}, action being "add" or "remove". It
// cannot be scheduled.
//
// An array holds up to 1000 messages in 10 MB. They are published in order, and
// each is answered in its place: as above, or {"error":…}. The status is 202 if
// all were published and 207 if not.
//
// # Lambda
//
// The same message is taken as the payload of a Lambda function: an application
// that publishes through AWS Lambda changes its SDK's endpoint
// (AWS_ENDPOINT_URL_LAMBDA) and nothing else. Requests are signed with an access
// key of the app (package sigv4), which may be bound to functions by name; any
// function is the one that publishes. Networks that the app lists
// (earshot.App.Unsigned) need no signature that is known here. A prefix of the
// path does not matter, nor does the version of a function, or what its ARN says
// of region and account.
//
// RequestResponse is 200 with the answer of /publish. Event is 202 without a body,
// once the message is as safe as its channel promises. DryRun is 204, for who may
// invoke the function. What the function would refuse is 200 with
// X-Amz-Function-Error: Unhandled and {"errorMessage","errorType"}, errorType being
// the code that /publish answers; who asked for no answer gets a 400. What may pass
// is 429 or 5xx, and SDKs try again. That an attempt's outcome was not known is
// such an error only if the next attempt cannot publish twice: it has the same
// deduplicationId or, on a logged channel, the same Amz-Sdk-Invocation-Id, which
// SDKs send and which counts as one where there is none. All other exceptions
// have AWS's names in X-Amzn-Errortype.
//
// A function that the app runs on this server (Deps.Functions) counts before the
// one that publishes: its name calls it. RequestResponse takes an event of up to 6
// MiB and is 200 with what the function answers, X-Amz-Function-Error if it failed,
// and with X-Amz-Log-Type: Tail the last 4 KB of what it printed in
// X-Amz-Log-Result. Event takes 1 MiB and is 202: the function is called once, if
// this server lives so long. DryRun is 204.
//
// # Events
//
// GET /events is an endless answer of server-sent events for an app that has
// webhooks or records events. Each has id, its place in the stream, data, the
// envelope as webhooks get it in one line of JSON, and webhook-id, the event's own
// id, which other readers of the format ignore:
//
//	id: 01JD…
//	webhook-id: evt_01JD…
//	data: {"source":"hotsock.v1","type":"hotsock.subscribed",…}
//
// ?after=ID, or the header Last-Event-ID, goes on behind a place, 0 from the
// oldest event that is kept; without either it begins now. Where events behind
// the place are not kept any more, the answer begins with "event: gap". The order
// is that in which events were recorded, and an event comes once but for rare
// repeats, which have one webhook-id. A line that begins with a colon comes every
// 15 seconds at the latest. An id without data is a place to come back to. The answer ends when the server stops.
//
// GET /webhooks is {"webhooks":[{"id","url","events","waiting","oldest","behind",
// "deliveredAt","failedAt","reason","dead","deadMore"}]}: waiting is how many
// channels and connections have events that were not taken, since oldest; behind
// is how many events were recorded and not looked at. dead counts up to 100.
//
// GET /webhooks/{id}/dead?after=ID&limit=N is {"events":[{"id","type","recordedAt",
// "diedAt","tries","reason","event"}],"more"}. POST /webhooks/{id}/replay tells the
// webhook again, of {"ids":[…]} or, without a body, of all, and is answered by 202
// with {"replayed"}.
//
// # Errors
//
// Every other error is {"error":{"code","message"}} with a status of its own for each
// earshot.Code; status.go has the table. A 504 says that the message may have
// been published: repeating it with the same deduplicationId is safe.
//
// # Apps
//
// With an operator in its settings ([admin]), the server lets apps be made and
// changed. Requests have the user and password (Basic) or the token (Bearer) of the
// operator, or of an owner. Secrets are shown to who makes them, and by export.
// What a browser sends for a page of another site is answered 403, unless it only
// reads, since browsers remember passwords.
//
//	GET    /admin/me                     {"name","role":"operator"|"owner"}
//	GET    /admin/apps?after=SLUG        {"apps":[…],"last":SLUG,"more":bool}: 100 at the most
//	POST   /admin/apps                   makes one of {"slug":…}; see tenant.Draft. 201
//	GET    /admin/apps/{slug}            {"app":{…}}
//	PATCH  /admin/apps/{slug}            changes what is named; see tenant.Change
//	DELETE /admin/apps/{slug}            204; who is connected is closed
//	POST   /admin/apps/{slug}/rotate     {"kind":"publishKey"|"signingKey"|"accessKey"|"secret","finish":bool}
//	POST   /admin/apps/{slug}/export     the app with its secrets, for POST /admin/apps
//	GET    /admin/apps/{slug}/usage      what it has used; see below
//	GET    /admin/apps/{slug}/figures    how it is now: connections, and messages a second, on all nodes
//	GET    /admin/apps/{slug}/channels?after=NAME&limit=N
//	                                     {"channels":[{"name","subscriptions"}…],"more","missing"}, by name, on all nodes
//	GET    /admin/audit?after=ID         {"entries":[…],"last":ID,"more":bool}: the newest first
//	GET    /admin/owners?after=NAME      {"owners":[{"name","created","updated"}…],"more":bool}
//	POST   /admin/owners                 {"name","password"}: 201 {"owner","password","token"}; one is drawn without a password
//	POST   /admin/owners/{name}/reset    {"password"}: likewise; the old password and token open nothing any more
//	DELETE /admin/owners/{name}          204; his apps stay
//
// PATCH, DELETE and rotate take ?revision=N, the revision that the app was read
// with: 409 REVISION if it was changed since. Apps of the settings are not among
// them, but have usage, figures and channels.
//
// # Roles
//
// An owner is somebody whom apps name (earshot.App.Owners). What he may depends on
// the app: one of his own, or a foreign one, which for him is not there.
//
//	                                       operator  owner, his own  owner, foreign
//	list apps                              all       his own         –
//	see one; its usage, figures, channels  yes       yes             404 APP_NOT_FOUND
//	change name, origins, audience, issuer,
//	  expiryCloses, channels, requireTls,
//	  keySigned, replay; add, remove keys  yes       yes             404
//	rotate keys and secrets; export        yes       yes             404
//	change active, hosts, limits, owners,
//	  and whatever else there is           yes       403 OPERATOR_ONLY  404
//	make an app                            yes       403             –
//	delete one                             yes       403             403
//	the audit trail                        all       of his apps, whoever did it  404
//	owners: list, make, reset, delete      yes       403             –
//	/api/admin/apps (Ex Pusher Lite)       yes       401; usage 403  401; usage 403
//
// Hosts are not an owner's, since a host selects its app before anything else; nor
// is active, so that what the operator has switched off stays off. An owner may
// have the secrets of his apps by rotating them anyway, so he may export them: that
// stands in the audit trail.
//
// A change of an owner counts at once; an app that has begun to name him is listed
// within a second. Every try to log in by Basic costs the same, whoever it names,
// but for what was right before (package auth).
//
// # Usage
//
// GET /admin/apps/{slug}/usage?granularity=minute|hour|day&from=TIME&to=TIME is
//
//	{"app","granularity","from","to","rows":[{"start","messagesIn","messagesOut",
//	 "bytesIn","bytesOut","calls","authFailures","peakConnections"}…],"total":{…}}
//
// Times are by RFC 3339, or dates. Without them it tells of the last hour in
// minutes, of the last day in hours (the default), of the last 31 days in days.
// Periods without use have no row. Package usage says what is counted, how long it
// is kept, and that it is up to a minute old. The same is at
// /api/admin/apps/{slug}/usage, for the operator.
//
// With ?format=csv, the path usage.csv, or an Accept that prefers text/csv, it is
// comma-separated values (RFC 4180) with a line of names; so is /admin/audit, up to
// 1000 lines, with a Link to the next. A cell that a spreadsheet would take for a
// formula begins with an apostrophe.
//
// GET /admin/apps/{slug}/figures is {"app","connections","in":{"rate1","rate5",
// "rate15"},"out":{…},"nodes","missing"}: messages a second over the last 1, 5 and 15
// minutes, and how many nodes have told and not told.
//
// GET /admin/audit takes ?app=SLUG, as it was or has become, ?actor=NAME, ?from=TIME
// and ?to=TIME (not included). It looks at 2,000 entries at a time: with "more", go
// on ?after= "last", even if there were no entries.
package api
