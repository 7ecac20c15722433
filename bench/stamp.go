package bench

import (
	"bytes"
	"time"
)

// A clock measures from one moment, so that a time fits into a few characters.
type clock struct{ base time.Time }

func newClock() clock { return clock{time.Now()} }

// now is the time since the clock began.
func (c clock) now() time.Duration { return time.Since(c.base) }

// A stamp is what every published message carries at the start of its data.
type stamp struct {
	// sent is when, on the publishing process's clock.
	sent time.Duration
	// publisher sent it, to channel, as its number there, from 0.
	publisher, channel, number uint32
	// slot is the place among the outstanding publishes, noSlot for none.
	slot uint32
}

const (
	stampMark = '~'
	stampLen  = 1 + 8 + 2 + 4 + 5 + 3
	// noSlot and the limits below are what the characters can hold.
	noSlot        = 1<<18 - 1
	maxPublishers = 1 << 12
	maxChannels   = 1 << 24
)

// digits are the characters of a stamp: six bits each, none of which JSON escapes.
const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// values is the inverse of digits; 0xff for other bytes. It never changes.
var values = func() (v [256]byte) {
	for i := range v {
		v[i] = 0xff
	}
	for i := range len(digits) {
		v[digits[i]] = byte(i)
	}
	return v
}()

// append appends the stamp's characters.
func (s stamp) append(b []byte) []byte {
	b = append(b, stampMark)
	b = appendDigits(b, uint64(s.sent), 8)
	b = appendDigits(b, uint64(s.publisher), 2)
	b = appendDigits(b, uint64(s.channel), 4)
	b = appendDigits(b, uint64(s.number), 5)
	return appendDigits(b, uint64(s.slot), 3)
}

func appendDigits(b []byte, v uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		b = append(b, digits[v>>(6*i)&63])
	}
	return b
}

// findStamp finds the first stamp in a message.
func findStamp(p []byte) (stamp, bool) {
	i := bytes.IndexByte(p, stampMark)
	if i < 0 || len(p)-i < stampLen {
		return stamp{}, false
	}
	d := p[i+1 : i+stampLen]
	var bad byte
	read := func(from, to int) (v uint64) {
		for _, c := range d[from:to] {
			x := values[c]
			bad |= x
			v = v<<6 | uint64(x&63)
		}
		return v
	}
	s := stamp{
		sent: time.Duration(read(0, 8)), publisher: uint32(read(8, 10)), channel: uint32(read(10, 14)),
		number: uint32(read(14, 19)), slot: uint32(read(19, 22)),
	}
	return s, bad&0xc0 == 0
}

// appendData appends a JSON string of size bytes, quotes included, that begins
// with the stamp.
func appendData(b []byte, s stamp, size int) []byte {
	n := len(b)
	b = s.append(append(b, '"'))
	for len(b)-n < size-1 {
		b = append(b, '.')
	}
	return append(b, '"')
}

// minData is the smallest data that holds a stamp.
const minData = stampLen + 2
