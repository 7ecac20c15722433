package proto

import (
	"strings"

	"github.com/earshot-io/earshot"
)

// CheckOrigin refuses a browser page that the app does not list. An app that
// lists none accepts all, since what a socket may do is in its token; so does
// a client that is no browser and sends no Origin. Scheme, host and port are
// compared as they stand, but for their case.
func (r *Request) CheckOrigin(a *earshot.App) error {
	if r.HTTP == nil || len(a.Origins) == 0 {
		return nil
	}
	origin := r.HTTP.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	for _, o := range a.Origins {
		if strings.EqualFold(o, origin) {
			return nil
		}
	}
	return &earshot.Error{Code: earshot.Forbidden, Reason: "ORIGIN", Text: "pages of this origin may not connect"}
}
