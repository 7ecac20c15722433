package bench

import (
	"encoding/json"
	"fmt"
)

// An event is what a client of the load tool needs to know of the native
// protocol's own messages.
type event struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
	Error   struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// err is the error that the event reports, nil if it reports none.
func (e *event) err() error {
	if e.Event != "hotsock.error" {
		return nil
	}
	return fmt.Errorf("the server says %s %s %s", e.Error.Code, e.Channel, e.Error.Message)
}

// broken reports whether a subscribed says that something may be missing.
func (e *event) broken() bool {
	var d struct {
		Recovered *bool `json:"recovered"`
	}
	return json.Unmarshal(e.Data, &d) == nil && d.Recovered != nil && !*d.Recovered
}

// closeError is what a close frame's payload says (RFC 6455 §5.5.1).
func closeError(p []byte) error {
	if len(p) < 2 {
		return fmt.Errorf("the server closed the connection")
	}
	return fmt.Errorf("the server closed the connection with code %d %s", int(p[0])<<8|int(p[1]), p[2:])
}
