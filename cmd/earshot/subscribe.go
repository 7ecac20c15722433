package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/earshot-io/earshot/client"
)

// subscribeCmd is "earshot subscribe".
type subscribeCmd struct {
	Channels []string `arg:"" help:"The channels."`

	Token string `help:"Token." env:"EARSHOT_TOKEN" placeholder:"TOKEN"`
	After string `help:"Begin after the message of this id, or with 0 at the beginning of what is stored." placeholder:"ID"`
	Count int    `short:"n" help:"End after so many messages; 0 for never."`
	JSON  bool   `name:"json" help:"Print whole messages as JSON, one a line."`
	target
}

// errEnough ends the subscriber when it has heard what was asked for.
var errEnough = errors.New("enough")

// Run prints messages until it is told to stop.
func (s *subscribeCmd) Run(w *world) error {
	found, err := s.find(w)
	if err != nil {
		return err
	}
	if _, err := secret(s.Token, found.Token, "--token"); err != nil {
		return err
	}
	ctx, forget := w.signalled()
	defer forget()
	heard := 0
	subscriber := client.Subscriber{
		URL: found.WSURL, Channels: s.Channels, After: map[string]string{},
		Token: func(context.Context) (string, error) { return s.token(w) },
		OnMessage: func(m client.Received) error {
			if err := s.print(w, m); err != nil {
				return err
			}
			if heard++; heard == s.Count {
				return errEnough
			}
			return nil
		},
		OnNotice: func(n client.Notice) { tell(w, n) },
	}
	for _, channel := range s.Channels {
		if s.After != "" {
			subscriber.After[channel] = s.After
		}
	}
	err = subscriber.Run(ctx)
	if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// token is asked for each connection: a development server that was started
// again has a new one.
func (s *subscribeCmd) token(w *world) (string, error) {
	found, err := s.find(w)
	if err != nil {
		return "", err
	}
	return secret(s.Token, found.Token, "--token")
}

func (s *subscribeCmd) print(w *world, m client.Received) error {
	if s.JSON {
		text, err := json.Marshal(m)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w.out, "%s\n", text)
		return err
	}
	_, err := fmt.Fprintf(w.out, "%s  %s  %s  %s\n", time.Now().Format("15:04:05.000"), m.Channel, m.Event, m.Data)
	return err
}

// tell says what happens beside messages.
func tell(w *world, n client.Notice) {
	switch n := n.(type) {
	case client.Subscribed:
		if n.Broken {
			fmt.Fprintf(w.err, "listening to %s; messages before now may have been lost\n", n.Channel)
			return
		}
		fmt.Fprintf(w.err, "listening to %s\n", n.Channel)
	case client.Disconnected:
		fmt.Fprintf(w.err, "disconnected: %v; trying again in %v\n", n.Err, n.Retry.Round(10*time.Millisecond))
	case client.MemberAdded:
		fmt.Fprintf(w.err, "%q came to %s\n", n.Member.UID, n.Channel)
	case client.MemberUpdated:
		fmt.Fprintf(w.err, "%q is now %s on %s\n", n.Member.UID, n.Member.UMD, n.Channel)
	case client.MemberRemoved:
		fmt.Fprintf(w.err, "%q left %s\n", n.Member.UID, n.Channel)
	case client.ReactionAdded:
		fmt.Fprintf(w.err, "%q reacted %q to %s\n", n.UID, n.Reaction.Reaction, n.MessageID)
	case client.ReactionRemoved:
		fmt.Fprintf(w.err, "%q took %q back from %s\n", n.UID, n.Reaction.Reaction, n.MessageID)
	case client.StorageUpdated:
		fmt.Fprintf(w.err, "%q of %s is %s\n", n.Key, n.Channel, n.Data)
	case client.Refused:
		fmt.Fprintf(w.err, "%s: %v\n", n.Channel, n.Err)
	}
}
