package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/earshot-io/earshot/client"
)

// publishCmd is "earshot publish".
type publishCmd struct {
	Channel string `arg:"" help:"The channel."`
	Event   string `arg:"" help:"The event's name."`
	Data    string `arg:"" optional:"" help:"The data: JSON, or else it is taken as a text. - reads it."`

	Store int64  `help:"Seconds that history shows the message; -1 for ever." placeholder:"SECONDS"`
	Key   string `help:"Publish key." env:"EARSHOT_PUBLISH_KEY" placeholder:"KEY"`
	ID    string `name:"deduplication-id" help:"Publish only if nothing with this id was in the last five minutes." placeholder:"ID"`
	target
}

// Run publishes and prints the message's id.
func (p *publishCmd) Run(w *world) error {
	found, err := p.find(w)
	if err != nil {
		return err
	}
	key, err := secret(p.Key, found.PublishKey, "--key")
	if err != nil {
		return err
	}
	data, err := p.data(w)
	if err != nil {
		return err
	}
	ctx, forget := w.signalled()
	defer forget()
	publisher, err := client.NewPublisher(client.Config{URL: found.URL, PublishKey: key})
	if err != nil {
		return err
	}
	defer publisher.Close()
	answer, err := publisher.Publish(ctx, client.Message{
		Channel: p.Channel, Event: p.Event, Data: data, Store: p.Store, DeduplicationID: p.ID, EagerIDGeneration: true,
	})
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nobody listens at %s; is the server running?", found.URL)
	}
	if err != nil {
		return err
	}
	published, err := answer.Decode()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.out, published.ID)
	return err
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
