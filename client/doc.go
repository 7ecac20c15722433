// Package client is the Go client. For an application's backend it has a
// Publisher and an Issuer of tokens, or both as a Client of one Config; and for
// whoever listens a Subscriber, which stays connected.
//
//	err := client.Configure(client.Config{
//		URL: "https://rt.example.com", PublishKey: os.Getenv("PUBLISH_KEY"),
//		IssuerPrivateKey: os.Getenv("SIGNING_KEY"), IssuerTokenTTL: 10 * time.Second,
//	})
//	…
//	_, err = client.Default().Publish(ctx, client.Message{Channel: "orders", Event: "paid", Data: order})
//	token, err := client.Default().Issue(client.Claims{
//		Scope: client.ScopeConnect, UID: "jim",
//		Channels: map[string]client.ChannelClaims{"orders": {Subscribe: client.Allow}},
//	})
//
// A program with several installations makes a client of each with New. Nothing
// is read from the environment: whoever configures decides from where. Package
// client/lambda publishes over AWS Lambda Invoke.
//
// # For those who know the Ruby library
//
// Every option of its configure is a field of Config, with the same meaning and
// default: publish_function_arn is PublishFunctionARN, issuer_aud_claim is
// IssuerAudClaim, and so on. What differs:
//
// Configure and New fail at once if something is missing or a key cannot be
// read, by an error that names the field; the Ruby library fails at first use.
// IssuerTokenTTL is a duration. Options of publish_message that it passes on
// without knowing them are fields of Message, and what is not goes into Extra.
// Publish returns the answer undecoded, as there, but fails if the function
// failed, and tries again only what is safe to try again. The name of the
// session with an assumed role begins with earshot-go-. There are PS256, PS384,
// PS512 and EdDSA, too. A token never has a member twice.
package client
