package client_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/earshot-io/earshot/client"
)

// forExample starts a server for an example, and returns what its backends are
// configured with and how to stop it.
func forExample() (*server, func()) {
	client.Forget()
	s, err := startServer()
	if err != nil {
		log.Fatal(err)
	}
	return s, func() {
		if err := s.stop(); err != nil {
			log.Fatal(err)
		}
	}
}

// A program that has one installation configures it when it starts.
func Example() {
	server, stop := forExample()
	defer stop()

	err := client.Configure(client.Config{
		URL:                server.url,               // where the server answers HTTP
		PublishKey:         server.config.PublishKey, // one of the app's publish keys
		IssuerPrivateKey:   server.config.IssuerPrivateKey,
		IssuerKeyAlgorithm: "HS256",
		IssuerKeyID:        "k",
		IssuerTokenTTL:     10 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Default().Close()

	// Anywhere in the program:
	token, err := client.Default().Issue(client.Claims{
		Scope: client.ScopeConnect, UID: "jim",
		Channels: map[string]client.ChannelClaims{"orders": {Subscribe: client.Allow}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the token has", strings.Count(token, ".")+1, "parts")

	answer, err := client.Default().Publish(context.Background(), client.Message{
		Channel: "orders", Event: "paid", Data: map[string]int{"order": 7},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer.Raw)
	// Output:
	// the token has 3 parts
	// {"channel":"orders","event":"paid"}
}

// A message that has a deduplication id is published once, however often it is
// tried.
func ExamplePublisher_Publish() {
	server, stop := forExample()
	defer stop()
	publisher, err := client.NewPublisher(client.Config{URL: server.url, PublishKey: server.config.PublishKey})
	if err != nil {
		log.Fatal(err)
	}
	defer publisher.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	answer, err := publisher.Publish(ctx, client.Message{
		Channel: "orders", Event: "paid", Data: map[string]int{"order": 7},
		DeduplicationID: "order-7-paid", EagerIDGeneration: true, Store: 24 * 60 * 60,
	})
	if err != nil {
		log.Fatal(err)
	}
	published, err := answer.Decode()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(published.Channel, published.Event, len(published.ID))
	// Output: orders paid 26
}

func ExamplePublisher_PublishAll() {
	server, stop := forExample()
	defer stop()
	publisher, err := client.NewPublisher(server.config)
	if err != nil {
		log.Fatal(err)
	}
	defer publisher.Close()

	_, err = publisher.PublishAll(context.Background(), []client.Message{
		{Channel: "orders", Event: "paid", Data: 7},
		{Channel: "not a name", Event: "paid", Data: 8},
	})
	var some *client.BatchError
	if errors.As(err, &some) {
		fmt.Println(some)
	}
	// Output: 1 of 2 messages were not published, the first is message 1: CHANNEL_NAME: a channel name has no *, #, comma or white space
}

// What a claim does not say is not in the token; Deny is more than not Allow.
func ExampleIssuer_Issue() {
	issuer, err := client.NewIssuer(client.Config{
		IssuerPrivateKey: "a secret of more than sixty-four bytes, so that it is long enough for every HMAC", IssuerKeyAlgorithm: "HS256",
		IssuerIssClaim: "my-app",
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := issuer.Issue(client.Claims{
		Scope: client.ScopeConnect, UID: "jim", Expires: time.Unix(1795345507, 0),
		Channels: map[string]client.ChannelClaims{
			"chat.*": {
				Subscribe: client.Allow,
				Messages:  map[string]client.EventClaims{"said": {Publish: client.Allow, Store: 3600}},
			},
			"chat.admins": {Subscribe: client.Deny},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", claims)
	// Output: {"scope":"connect","exp":1795345507,"uid":"jim","channels":{"chat.*":{"subscribe":true,"messages":{"said":{"publish":true,"store":3600}}},"chat.admins":{"subscribe":false}},"iss":"my-app"}
}

// A subscriber runs until it is told to stop. This one begins with what was
// published before it came.
func ExampleSubscriber() {
	server, stop := forExample()
	defer stop()
	backend, err := client.New(server.config)
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()
	for _, data := range []string{"one", "two"} {
		if _, err := backend.Publish(context.Background(), client.Message{Channel: "news", Event: "item", Data: data, Store: 60}); err != nil {
			log.Fatal(err)
		}
	}

	errEnough := errors.New("enough")
	subscriber := client.Subscriber{
		URL:      server.ws,
		Channels: []string{"news"},
		After:    map[string]string{"news": "0"},
		Token: func(context.Context) (string, error) { // for each connection
			return backend.Issue(client.Claims{Scope: client.ScopeConnect, Channels: map[string]client.ChannelClaims{
				"news": {Subscribe: client.Allow, HistoryStart: time.Unix(0, 0)},
			}})
		},
		OnMessage: func(m client.Received) error {
			fmt.Printf("%s %s %s\n", m.Channel, m.Event, m.Data)
			if string(m.Data) == `"two"` {
				return errEnough
			}
			return nil
		},
		OnNotice: func(n client.Notice) {
			if n, ok := n.(client.Subscribed); ok {
				fmt.Println("listening to", n.Channel)
			}
		},
	}
	if err := subscriber.Run(context.Background()); !errors.Is(err, errEnough) {
		log.Fatal(err)
	}
	// Output:
	// listening to news
	// news item "one"
	// news item "two"
}

// A connection can do over HTTP what its token permits.
func ExampleConnection() {
	server, stop := forExample()
	defer stop()
	backend, err := client.New(server.config)
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	connected := make(chan *client.Connection, 1)
	subscriber := client.Subscriber{
		URL: server.ws,
		Token: func(context.Context) (string, error) {
			return backend.Issue(client.Claims{Scope: client.ScopeConnect, Channels: map[string]client.ChannelClaims{
				"news": {Messages: map[string]client.EventClaims{"item": {Broadcast: client.Allow}}},
			}})
		},
		OnNotice: func(n client.Notice) {
			if n, ok := n.(client.Connected); ok {
				connected <- n.Conn
			}
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- subscriber.Run(ctx) }()

	answer, err := (<-connected).Publish(ctx, client.Message{Channel: "news", Event: "item", Data: "one"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer.Raw)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// {"channel":"news","event":"item"}
	// context canceled
}
