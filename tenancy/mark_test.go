package tenancy

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
)

// A mark is what every datum of a test carries: whose it is, for which channel,
// and a number that no other has.
type mark struct {
	app, channel string
	n            int
}

// String is the mark in letters that no format escapes.
func (m mark) String() string { return fmt.Sprintf("mk-%x-%x-%d-", m.app, m.channel, m.n) }

var marked = regexp.MustCompile(`mk-([0-9a-f]*)-([0-9a-f]*)-([0-9]+)-`)

// marks are those in a text of whatever format.
func marks(text string) []mark {
	var all []mark
	for _, found := range marked.FindAllStringSubmatch(text, -1) {
		app, err := hex.DecodeString(found[1])
		channel, err2 := hex.DecodeString(found[2])
		n, err3 := strconv.Atoi(found[3])
		if err != nil || err2 != nil || err3 != nil {
			panic("a mark is broken: " + found[0])
		}
		all = append(all, mark{string(app), string(channel), n})
	}
	return all
}
