// Package function runs the Lambda functions of WebSocket APIs on this machine:
// unmodified programs that are built on a Lambda runtime, such as aws-lambda-go. A
// Host starts their processes, feeds them by Lambda's Runtime API (section 10.4 of
// the specification of API Gateway in this project), watches over them, and gives
// them an environment in which what they say to AWS's names for the app reaches
// this server.
//
// Only functions of gateways that the operator wrote down (earshot.Gateway.Trusted)
// are run: a function is a program with the rights of the server's user.
//
// # Processes
//
// A function has up to Copies processes, each with one event at a time. The first
// starts with the host, others when calls wait; one that had nothing to do for
// Config.Idle is ended. A process that ends is replaced when a call wants one. One
// that ends before it has asked for an event makes the next start wait, 100 ms and
// twice as long each time up to 30 s, and while none lives calls fail at once with
// what the last one said.
//
// A process leads a group of its own. It is killed with all that it started when a
// call takes longer than the function's timeout, when it does not ask for an event
// within Config.Init, and, after SIGTERM and half a second, when the host closes. On Linux
// it also dies with the server, however that ends; what it started itself may then
// live on.
//
// # The Runtime API
//
// A runtime is told an address without a path, so each process has a listener of
// its own, on a port of the loopback. It is closed with the process, and on Linux
// only connections of the process's own group are let in: a port can be found by
// anybody on the machine, and who answers in a function's name could let himself
// in. Elsewhere than on Linux, nobody tells whose a connection is, and the port is
// all that protects it.
//
//	GET  /2018-06-01/runtime/invocation/next            the next event, once there is one
//	POST /2018-06-01/runtime/invocation/{id}/response   what the function answers: 202
//	POST /2018-06-01/runtime/invocation/{id}/error      that it failed: 202
//	POST /2018-06-01/runtime/init/error                 that it cannot begin: 202
//
// An answer that is not of the event at work is refused with 400 InvalidRequestID,
// a second next beside an open event with 403 InvalidStateTransition, an answer of
// more than 6 MiB and 100 bytes with 413. Trailers end an answer as a failure. Of
// the Extensions API there is as much as lambda.WithEnableSIGTERM needs: a runtime
// may register for no events, and wait for them.
//
// # What functions print
//
// Each line of standard output and standard error becomes a line of the log, cut
// at 4 KiB; more than 200 a second of one function (1000 at once) are dropped and
// counted. Nothing else of an event or an answer is logged.
//
// # The environment
//
// A function gets what Lambda gives it (region, name, version, memory, handler,
// task root), PATH, TMPDIR and SSL_CERT_DIR of the server and none of its other
// variables, and what its own Environment says, which counts before all of this
// but AWS_LAMBDA_RUNTIME_API. Its credentials are an access key of the app that
// the server makes when it starts and that no other process knows; a function that
// brings an AWS_ACCESS_KEY_ID gets none.
//
// HTTPS_PROXY and HTTP_PROXY name a proxy on the loopback, with a password for each
// process. It answers itself, with a certificate of its own authority, for
//
//   - {apiId}.execute-api.{region}.amazonaws.com, of each gateway of the app;
//   - the gateway's management domain and its hosts, and the app's hosts;
//   - lambda.{region}.amazonaws.com, if the function has the app's credentials;
//
// and gives what is asked of them to the server's own handler, as it was signed.
// The authority's key is in memory alone. Its certificate stands, after those that
// the system trusts, in a file that SSL_CERT_FILE, AWS_CA_BUNDLE,
// NODE_EXTRA_CA_CERTS, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE name. Programs that
// look at neither proxy nor certificates, as Node before 22.21, reach the server by
// its own address, which they are to be given.
//
// All else passes through as it is. Functions can reach any address by themselves,
// so the proxy keeps only those closed that they could not reach through it in
// their own name: of the loopback, where parts of the server listen, and link-local
// ones. NO_PROXY has the loopback, so that a function reaches it directly.
//
// # Choices
//
// A call for which no copy is free waits, up to Config.Waiting of them, until its
// caller gives up; Lambda would refuse it at once. The function's timeout begins
// when a process has the event. A caller that gives up does not stop a function
// that has its event already, as at AWS. An event without an answer (Enqueue) is
// kept in memory and run once, whatever becomes of it; Lambda would keep it on disk
// and try twice more. Calls with an answer go first.
package function
