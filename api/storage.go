package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/entry"
	"github.com/go-json-experiment/json/jsontext"
)

// Entries are what channels keep: entry.Store.
type Entries interface {
	List(ctx context.Context, a *earshot.App, q entry.Query) (entries []entry.Entry, more bool, err error)
}

// A listing is a page of a channel's entries, in the order of their keys.
type listing struct {
	Items []stored `json:"items"`
	// More says that there are others behind the last.
	More bool `json:"more,omitzero"`
}

type stored struct {
	Key  string         `json:"key"`
	Data jsontext.Value `json:"data"`
	Meta writer         `json:"meta"`
}

// A writer is who wrote an entry last; both are null for a server.
type writer struct {
	UID  *string        `json:"uid"`
	Meta jsontext.Value `json:"umd"`
}

// channelStorage answers with entries of one channel, up to a hundred: those
// behind ?after, and if there is ?keys, only those that it names.
func (a *API) channelStorage(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
	if a.entries == nil {
		return errUnsupported("STORAGE_UNSUPPORTED", "channel storage is not served here")
	}
	q := entry.Query{Channel: r.PathValue("name"), After: r.URL.Query().Get("after")}
	if err := checkChannel(q.Channel); err != nil {
		return err
	}
	if keys := r.URL.Query().Get("keys"); keys != "" {
		q.Keys = strings.Split(keys, ",")
	}
	entries, more, err := a.entries.List(r.Context(), app, q)
	if err != nil {
		return err
	}
	page := listing{Items: make([]stored, len(entries)), More: more}
	for i := range entries {
		page.Items[i] = storedOf(&entries[i])
	}
	write(w, http.StatusOK, page)
	return nil
}

func storedOf(e *entry.Entry) stored {
	i := stored{Key: e.Key, Data: e.Data, Meta: writer{Meta: jsontext.Value("null")}}
	if e.Sender == nil {
		return i
	}
	if e.Sender.HasUID {
		i.Meta.UID = &e.Sender.UID
	}
	if e.Sender.Meta != nil {
		i.Meta.Meta = e.Sender.Meta
	}
	return i
}
