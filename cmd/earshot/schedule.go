package main

import (
	"fmt"

	"github.com/earshot-io/earshot/client"
)

// scheduleCmd is "earshot schedule".
type scheduleCmd struct {
	List   scheduleListCmd   `cmd:"" help:"Print what waits for its time."`
	Cancel scheduleCancelCmd `cmd:"" help:"Take it back."`
}

func (k *keyed) schedules(w *world) (*client.Schedules, error) {
	found, err := k.find(w)
	if err != nil {
		return nil, err
	}
	key, err := secret(k.Key, found.PublishKey, "--key")
	return &client.Schedules{URL: found.URL, Key: key}, err
}

type scheduleListCmd struct{ keyed }

// Run prints a line for each schedule.
func (c *scheduleListCmd) Run(w *world) error {
	api, err := c.schedules(w)
	if err != nil {
		return err
	}
	ctx, forget := w.signalled()
	defer forget()
	for after, more := "", true; more; {
		var all []client.Schedule
		if all, more, err = api.List(ctx, after, 100); err != nil {
			return err
		}
		for i := range all {
			s := &all[i]
			after = s.ID
			if _, err := fmt.Fprintf(w.out, "%s\t%s\t%s\t%s\t%s\n", s.ID, since(&s.At), s.Channel, s.Event, s.Key); err != nil {
				return err
			}
		}
		more = more && len(all) > 0
	}
	return nil
}

type scheduleCancelCmd struct {
	IDs []string `arg:"" name:"id" help:"Ids or ARNs of schedules."`
	keyed
}

// Run takes schedules back, up to the first that it cannot.
func (c *scheduleCancelCmd) Run(w *world) error {
	api, err := c.schedules(w)
	if err != nil {
		return err
	}
	ctx, forget := w.signalled()
	defer forget()
	for _, id := range c.IDs {
		if err := api.Cancel(ctx, id); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
	}
	return nil
}
