package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/client/lambda"
)

// publishCmd is "earshot publish".
type publishCmd struct {
	Channel string `arg:"" help:"The channel."`
	Event   string `arg:"" help:"The event's name."`
	Data    string `arg:"" optional:"" help:"The data: JSON, or else it is taken as a text. - reads it."`

	Store    int64  `help:"Seconds that history shows the message; -1 for ever." placeholder:"SECONDS"`
	Key      string `help:"Publish key." env:"EARSHOT_PUBLISH_KEY" placeholder:"KEY"`
	ID       string `name:"deduplication-id" help:"Publish only if nothing with this id was in the last five minutes." placeholder:"ID"`
	Entry    string `help:"The key of the channel's storage to write, with the event hotsock.channelStorageSet." placeholder:"KEY"`
	At       string `help:"When to publish, as in 2026-12-24T18:00:00." placeholder:"TIME"`
	Timezone string `help:"The time zone of --at, as in Europe/Berlin; UTC if not given." placeholder:"ZONE"`
	Emit     bool   `help:"Send an event about it to the app's webhooks."`
	overLambda
	target
}

// overLambda says how to publish through AWS Lambda.
type overLambda struct {
	Lambda   bool   `help:"Publish through AWS Lambda Invoke: of --url or --dev, or else where the AWS SDK finds it."`
	Function string `help:"With --lambda, the function's ARN or name." placeholder:"ARN"`
	Region   string `help:"With --lambda, the region." env:"AWS_REGION" placeholder:"REGION"`
	Role     string `help:"With --lambda, the role to assume." placeholder:"ARN"`
	External string `name:"external-id" help:"With --role, the external id." placeholder:"ID"`
	Session  string `name:"session-name" help:"With --role, the session's name." placeholder:"NAME"`
}

// Run publishes and prints the message's id or the name of its schedule, if it
// has one.
func (p *publishCmd) Run(w *world) error {
	data, err := p.data(w)
	if err != nil {
		return err
	}
	ctx, forget := w.signalled()
	defer forget()
	publisher, at, err := p.publisher(ctx, w)
	if err != nil {
		return err
	}
	defer publisher.Close()
	answer, err := publisher.Publish(ctx, p.message(data))
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nobody listens at %s; is the server running?", at)
	}
	if err != nil {
		return err
	}
	published, err := answer.Decode()
	if err != nil {
		return err
	}
	if name := cmp.Or(published.ScheduleARN, published.ID); name != "" {
		_, err = fmt.Fprintln(w.out, name)
	}
	return err
}

func (p *publishCmd) message(data json.RawMessage) client.Message {
	m := client.Message{
		Channel: p.Channel, Event: p.Event, Data: data, Store: p.Store, DeduplicationID: p.ID, EagerIDGeneration: true,
		Key: p.Entry, EmitPubSubEvent: p.Emit, ScheduleExpressionTimezone: p.Timezone,
	}
	if p.At != "" {
		m.ScheduleExpression = "at(" + p.At + ")"
	}
	return m
}

// publisher returns one, and where it publishes to.
func (p *publishCmd) publisher(ctx context.Context, w *world) (made *client.Publisher, at string, err error) {
	if p.Lambda {
		return p.throughLambda(ctx, w)
	}
	found, err := p.find(w)
	if err != nil {
		return nil, "", err
	}
	key, err := secret(p.Key, found.PublishKey, "--key")
	if err != nil {
		return nil, "", err
	}
	made, err = client.NewPublisher(client.Config{URL: found.URL, PublishKey: key})
	return made, found.URL, err
}

// throughLambda calls a function: with --function and without --url where the
// AWS SDK finds it, else of our own server.
func (p *publishCmd) throughLambda(ctx context.Context, w *world) (made *client.Publisher, at string, err error) {
	found := &devFile{}
	if p.Function == "" || p.URL != "" {
		if found, err = p.find(w); err != nil {
			return nil, "", err
		}
	}
	function, err := secret(p.Function, found.FunctionARN, "--function")
	if err != nil {
		return nil, "", err
	}
	region := cmp.Or(p.Region, found.Region)
	if region == "" {
		return nil, "", errors.New("--region is needed with --function")
	}
	made, err = lambda.NewPublisher(ctx, client.Config{
		PublishFunctionARN: function, AWSRegion: region, AWSEndpointURL: found.URL,
		AWSAccessKeyID: found.AccessKeyID, AWSSecretAccessKey: found.SecretAccessKey,
		AWSAssumeRoleARN: p.Role, AWSAssumeRoleExternalID: p.External, AWSAssumeRoleSessionName: p.Session,
	})
	return made, cmp.Or(found.URL, "AWS Lambda"), err
}

// data is a JSON value: what was given, if it is one, else as a string.
func (p *publishCmd) data(w *world) (json.RawMessage, error) {
	text := p.Data
	if text == "-" {
		b, err := io.ReadAll(w.in)
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	if text == "" {
		return json.RawMessage("null"), nil
	}
	if json.Valid([]byte(text)) {
		return json.RawMessage(text), nil
	}
	return json.Marshal(text)
}
