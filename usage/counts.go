package usage

import "github.com/earshot-io/earshot/hub"

// Counts are what an app has used; see the package's comment.
type Counts struct {
	MessagesIn   uint64 `cbor:"1,keyasint,omitempty" json:"messagesIn"`
	MessagesOut  uint64 `cbor:"2,keyasint,omitempty" json:"messagesOut"`
	BytesIn      uint64 `cbor:"3,keyasint,omitempty" json:"bytesIn"`
	BytesOut     uint64 `cbor:"4,keyasint,omitempty" json:"bytesOut"`
	Calls        uint64 `cbor:"5,keyasint,omitempty" json:"calls"`
	AuthFailures uint64 `cbor:"6,keyasint,omitempty" json:"authFailures"`
}

func countsOf(u *hub.AppUse) Counts {
	return Counts{
		MessagesIn: u.MessagesIn, MessagesOut: u.MessagesOut, BytesIn: u.BytesIn, BytesOut: u.BytesOut,
		Calls: u.Calls, AuthFailures: u.AuthFailures,
	}
}

// add adds d.
func (c *Counts) add(d *Counts) {
	c.MessagesIn += d.MessagesIn
	c.MessagesOut += d.MessagesOut
	c.BytesIn += d.BytesIn
	c.BytesOut += d.BytesOut
	c.Calls += d.Calls
	c.AuthFailures += d.AuthFailures
}

// since is what was counted after c was as before.
func (c Counts) since(before *Counts) Counts {
	c.MessagesIn -= before.MessagesIn
	c.MessagesOut -= before.MessagesOut
	c.BytesIn -= before.BytesIn
	c.BytesOut -= before.BytesOut
	c.Calls -= before.Calls
	c.AuthFailures -= before.AuthFailures
	return c
}
