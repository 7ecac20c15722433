package api

import (
	"net/http"
	"strings"
	"unicode"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json/jsontext"
)

// presence begins the names of channels that have members.
const presence = "presence."

// A description is the state of a channel.
type description struct {
	Name          string `json:"name"`
	Subscriptions int    `json:"subscriptionsCount"`
	// Members is nil for channels that have none, and empty if nobody is there.
	Members *[]member `json:"members,omitzero"`
}

type member struct {
	UID  string         `json:"uid"`
	Meta jsontext.Value `json:"umd"`
}

// channel answers with the state of one channel. Every name is that of a
// channel, of one that nobody hears too.
func (a *API) channel(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
	name := r.PathValue("name")
	if err := checkChannel(name); err != nil {
		return err
	}
	info, err := a.hub.Info(r.Context(), app, name)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, describe(name, info))
	return nil
}

func describe(name string, info hub.Info) description {
	d := description{Name: name, Subscriptions: info.Subscriptions}
	if !strings.HasPrefix(name, presence) {
		return d
	}
	all := make([]member, len(info.Members))
	for i, m := range info.Members {
		all[i] = member{m.UID, m.Meta}
		if m.Meta == nil {
			all[i].Meta = jsontext.Value("null")
		}
	}
	d.Members = &all
	return d
}

// checkChannel asks for the name of a channel that a client could subscribe to.
func checkChannel(name string) error {
	if err := earshot.CheckChannel(name); err != nil {
		return err
	}
	if strings.ContainsAny(name, "*#,") || strings.ContainsFunc(name, unicode.IsSpace) {
		return invalid("CHANNEL_NAME", "a channel name has no *, #, comma or white space")
	}
	return nil
}
