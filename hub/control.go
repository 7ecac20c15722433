package hub

import "github.com/fxamacker/cbor/v2"

// control is what nodes tell each other over the bus. It may get lost.
type control struct {
	Kick *Selection `cbor:"1,keyasint,omitempty"`
	// From names the node that tells.
	From string `cbor:"2,keyasint,omitempty"`
	// Beat says that the node lives, Bye that it has stopped.
	Beat *beat `cbor:"3,keyasint,omitempty"`
	Bye  bool  `cbor:"4,keyasint,omitempty"`
	// Delta, Ask and Snapshot keep the copies of a node's part of the roster: Ask
	// is a number that comes back with the snapshot.
	Delta    *delta    `cbor:"5,keyasint,omitempty"`
	Ask      uint64    `cbor:"6,keyasint,omitempty"`
	Snapshot *snapshot `cbor:"7,keyasint,omitempty"`
	// Question and Answer are those of a Call, of AskAll or of Info.
	Question *question `cbor:"8,keyasint,omitempty"`
	Answer   *answer   `cbor:"9,keyasint,omitempty"`
}

// tell hands a control message to one node, or to all others if to is empty.
func (h *Hub) tell(to string, c *control) error {
	c.From = h.nodes.name
	data, err := cbor.Marshal(c)
	if err != nil {
		return err
	}
	return h.engine.Tell(to, data)
}

// Told takes a control message of another node; see Sink.
func (h *Hub) Told(data []byte) {
	var c control
	if err := cbor.Unmarshal(data, &c); err != nil {
		h.log.Warn("a control message of another node is not understood", "err", err)
		return
	}
	if c.Kick != nil {
		h.kick(c.Kick)
	}
	if c.From != "" && c.From != h.nodes.name {
		h.nodes.told(&c)
	}
}
