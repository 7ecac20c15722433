package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/webhook"
)

// webhooks adds the app's webhooks. What stands in the settings was written down
// by the operator, who may mean an internal address.
func (a *App) webhooks(out *earshot.App, name string, p *Problems) {
	out.RecordEvents = a.RecordEvents
	taken := map[string]bool{}
	for i := range a.Webhooks {
		w := &a.Webhooks[i]
		at := fmt.Sprintf("%s.webhooks[%d]", name, i)
		if !validSlug(w.ID) {
			p.add("%s.id: %q is not 1 to 64 of a-z, 0-9 and -", at, w.ID)
		}
		if taken[w.ID] {
			p.add("%s.id: %q is another webhook's, too", at, w.ID)
		}
		taken[w.ID] = true
		out.Webhooks = append(out.Webhooks, w.webhook(at, p))
	}
}

func (w *Webhook) webhook(name string, p *Problems) earshot.Webhook {
	out := earshot.Webhook{ID: w.ID, URL: w.URL, Trusted: true}
	if err := webhook.CheckURL(w.URL, true); err != nil {
		p.add("%s.url: %v", name, err)
	}
	if len(w.Secrets) == 0 {
		p.add("%s.secrets: there is none, so the receiver could not tell who posts; `earshot webhook secret` makes one", name)
	}
	for i, s := range w.Secrets {
		if _, err := webhook.DecodeSecret(string(s)); err != nil {
			p.add("%s.secrets[%d]: %v", name, i, err)
		}
		out.Secrets = append(out.Secrets, string(s))
	}
	for i, s := range w.Events {
		// The types are told with the prefix, and may be written so.
		pattern := earshot.Glob(strings.TrimPrefix(s, "hotsock."))
		if !slices.ContainsFunc(webhook.Types(), func(t hub.EventType) bool { return pattern.Match(string(t)) }) {
			p.add("%s.events[%d]: no type of event is %q", name, i, s)
		}
		out.Events = append(out.Events, pattern)
	}
	return out
}
