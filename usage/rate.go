package usage

import (
	"math"
	"time"
)

// Rates are messages a second, over the last minute, the last five and the last
// fifteen.
type Rates struct {
	One     float64 `cbor:"1,keyasint,omitempty" json:"rate1"`
	Five    float64 `cbor:"2,keyasint,omitempty" json:"rate5"`
	Fifteen float64 `cbor:"3,keyasint,omitempty" json:"rate15"`
}

// tick counts n messages in the time since the last one.
func (r *Rates) tick(n uint64, passed time.Duration) {
	if passed <= 0 {
		return
	}
	now := float64(n) / passed.Seconds()
	for _, w := range []struct {
		rate *float64
		over time.Duration
	}{{&r.One, time.Minute}, {&r.Five, 5 * time.Minute}, {&r.Fifteen, 15 * time.Minute}} {
		*w.rate += (now - *w.rate) * (1 - math.Exp(-passed.Seconds()/w.over.Seconds()))
		if *w.rate < negligible {
			*w.rate = 0
		}
	}
}

// negligible is less than one message in a day.
const negligible = 1e-5

// add adds those of another node.
func (r *Rates) add(o Rates) {
	r.One += o.One
	r.Five += o.Five
	r.Fifteen += o.Fifteen
}
