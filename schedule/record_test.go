package schedule_test

import (
	"bytes"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/schedule"
)

// FuzzOpen: what a timer carries is read, or refused, whatever it is.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"channel":"c","event":"e","sender":{"uid":"u","hasUID":true,"meta":"MQ=="},"store":-1,"skip":"x","origin":{"trigger":"t","remote":"::1"}}` + "\n{}"))
	f.Add([]byte(`{"channel":"c","kind":2,"store":9223372036854775807}` + "\n\n\x00"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := schedule.Open(&schedule.Timer{App: "app", Data: data})
		if err != nil {
			if earshot.CodeOf(err) != earshot.Invalid {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		if _, payload, _ := bytes.Cut(data, []byte("\n")); !bytes.Equal(p.Message.Data, payload) || p.Message.App != "app" {
			t.Errorf("%q is read as %+v", data, p.Message)
		}
	})
}
