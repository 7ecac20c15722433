package hub

// Deliver takes what the bus delivers; see Sink.
func (h *Hub) Deliver(ds []Delivery) {
	var b batch
	for _, d := range ds {
		p := d.Message.ID.Position()
		if !p.IsZero() {
			h.sawEpoch(p.Epoch)
		}
		if c := h.app(d.Message.App).known(d.Message.Channel); c != nil {
			c.arrive(d, &b)
			c.mu.Unlock()
		}
		if p.Epoch == h.epoch() {
			raise(&h.seen, p.Seq)
		}
	}
	b.settle(h)
}

// sawEpoch starts the sequences anew when the stream's life is a newer one.
func (h *Hub) sawEpoch(epoch uint16) {
	for old := h.seenEpoch.Load(); uint32(epoch) > old; old = h.seenEpoch.Load() {
		if h.seenEpoch.CompareAndSwap(old, uint32(epoch)) {
			if old != 0 {
				h.seen.Store(0)
			}
			return
		}
	}
}

// arrive puts a message where it belongs: to the subscriptions, or behind the
// gap that is being filled. The channel is locked.
func (c *channel) arrive(d Delivery, b *batch) {
	p := d.Message.ID.Position()
	o := &c.order
	switch {
	case p.IsZero():
		c.publish(&delivery{m: d.Message}, b)
	case p.Epoch < o.epoch || p.Epoch == o.epoch && p.Seq <= o.last:
		c.app.hub.stats.duplicates.Add(1)
	case p.Epoch > o.epoch:
		c.newEpoch(d)
	case o.filling != nil:
		o.filling.add(d, c.app.hub.config.QueueBytes)
	case d.Prev > o.last:
		c.gap(d)
	default:
		c.publish(&delivery{m: d.Message}, b)
	}
}
