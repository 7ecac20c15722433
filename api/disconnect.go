package api

import (
	"io"
	"net/http"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
)

// disconnect ends one connection of the app, or all of one user, on every node:
// {"connectionId":"…"} or {"uid":"…"}. It is answered by how many were closed
// here; the other nodes have been told.
func (a *API) disconnect(w http.ResponseWriter, r *http.Request, app *earshot.App) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<10))
	if err != nil {
		return badBody(err)
	}
	s, err := selection(app, body)
	if err != nil {
		return err
	}
	closed, err := a.hub.Kick(s)
	if err != nil {
		return err
	}
	write(w, http.StatusAccepted, map[string]int{"closed": closed})
	return nil
}

func selection(app *earshot.App, body []byte) (hub.Selection, error) {
	var asked struct {
		ConnectionID *string `json:"connectionId"`
		UID          *string `json:"uid"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return hub.Selection{}, badJSON(err)
	}
	if (asked.ConnectionID == nil) == (asked.UID == nil) {
		return hub.Selection{}, invalid("MEMBER_MISSING", "one of connectionId and uid is needed")
	}
	s := hub.Selection{App: app.Slug, UID: asked.UID}
	if asked.ConnectionID == nil {
		return s, nil
	}
	id, ok := earshot.ParseConnID(*asked.ConnectionID)
	if !ok || id.IsZero() {
		return hub.Selection{}, invalid("CONNECTION_ID", "connectionId is not the id of a connection")
	}
	s.Conn = id
	return s, nil
}
