package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/webhook"
)

// webhookCmd is "earshot webhook".
type webhookCmd struct {
	List   webhookListCmd   `cmd:"" help:"Say how the webhooks of an app are."`
	Dead   webhookDeadCmd   `cmd:"" help:"Print the events that a webhook did not take."`
	Replay webhookReplayCmd `cmd:"" help:"Tell a webhook once more of what it did not take."`
	Secret webhookSecretCmd `cmd:"" help:"Make a secret to sign with."`
}

// keyed is a target whose publish key is needed.
type keyed struct {
	Key string `help:"Publish key." env:"EARSHOT_PUBLISH_KEY" placeholder:"KEY"`
	target
}

func (k *keyed) webhooks(w *world) (*client.Webhooks, error) {
	found, err := k.find(w)
	if err != nil {
		return nil, err
	}
	key, err := secret(k.Key, found.PublishKey, "--key")
	return &client.Webhooks{URL: found.URL, Key: key}, err
}

type webhookListCmd struct{ keyed }

// Run prints a line for each webhook, and one more for what is wrong with it.
func (c *webhookListCmd) Run(w *world) error {
	api, err := c.webhooks(w)
	if err != nil {
		return err
	}
	ctx, forget := w.signalled()
	defer forget()
	all, err := api.List(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		_, err = fmt.Fprintln(w.out, "the app has no webhooks")
		return err
	}
	for i := range all {
		if _, err := fmt.Fprint(w.out, describe(&all[i])); err != nil {
			return err
		}
	}
	return nil
}

// describe is a webhook in words.
func describe(h *client.Webhook) string {
	more := ""
	if h.DeadMore {
		more = " or more"
	}
	events := strings.Join(h.Events, ",")
	if events == "" {
		events = "*"
	}
	s := fmt.Sprintf("%s\t%s\tevents %s\tdelivered %s\twaiting %d\tbehind %d\tdead %d%s\n", h.ID, h.URL, events, since(h.DeliveredAt), h.Waiting, h.Behind, h.Dead, more)
	if h.Waiting > 0 && h.FailedAt != nil {
		s += fmt.Sprintf("\tfailed %s: %s; the oldest is of %s\n", since(h.FailedAt), h.Reason, since(h.Oldest))
	}
	return s
}

func since(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Local().Format(time.DateTime)
}

type webhookDeadCmd struct {
	Webhook string `arg:"" help:"The webhook's id."`
	JSON    bool   `name:"json" help:"Print whole events as JSON, one a line."`
	keyed
}

// Run prints a line for each dead letter.
func (c *webhookDeadCmd) Run(w *world) error {
	api, err := c.webhooks(w)
	if err != nil {
		return err
	}
	ctx, forget := w.signalled()
	defer forget()
	for after, more := "", true; more; {
		var letters []client.DeadLetter
		if letters, more, err = api.Dead(ctx, c.Webhook, after, 100); err != nil {
			return err
		}
		for i := range letters {
			after = letters[i].ID
			if err := c.print(w, &letters[i]); err != nil {
				return err
			}
		}
		more = more && len(letters) > 0
	}
	return nil
}

func (c *webhookDeadCmd) print(w *world, d *client.DeadLetter) error {
	if c.JSON {
		text, err := json.Marshal(d)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w.out, string(text))
		return err
	}
	_, err := fmt.Fprintf(w.out, "%s\t%s\t%s\t%d tries\t%s\n", d.ID, d.Type, since(&d.RecordedAt), d.Tries, d.Reason)
	return err
}

type webhookReplayCmd struct {
	Webhook string   `arg:"" help:"The webhook's id."`
	IDs     []string `arg:"" optional:"" name:"event" help:"Ids of events; all dead ones without any."`
	keyed
}

// Run replays and says how many.
func (c *webhookReplayCmd) Run(w *world) error {
	api, err := c.webhooks(w)
	if err != nil {
		return err
	}
	ctx, forget := w.signalled()
	defer forget()
	n, err := api.Replay(ctx, c.Webhook, c.IDs...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.out, "%d replayed\n", n)
	return err
}

type webhookSecretCmd struct{}

// Run prints a new secret.
func (*webhookSecretCmd) Run(w *world) error {
	_, err := fmt.Fprintln(w.out, webhook.NewSecret())
	return err
}
