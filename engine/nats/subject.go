package nats

import (
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/earshot-io/earshot"
)

// The spaces of subjects.
const (
	spaceStored    = "h" // what publishers write to the log
	spaceDelivered = "d" // what the log republishes
	spaceLive      = "l"
	subjectControl = "t"
	subjectState   = "earshot.state."
	subjectSpent   = "earshot.spent."
	subjectRecord  = "earshot.records."
	subjectEvent   = "earshot.event."
	// appProbe is where an app stands in the subject of a probe. No app can have
	// it: it is the empty level.
	appProbe = "_"
)

const hexDigits = "0123456789abcdef"

// appendLevel encodes one level: letters, digits and - stand for themselves,
// each other byte is _xx, and an empty level is _.
func appendLevel(b []byte, level string) []byte {
	if level == "" {
		return append(b, '_')
	}
	for i := range len(level) {
		if c := level[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '_', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

func plain(c byte) bool {
	return c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// levelOf decodes one token; ok is false for what appendLevel does not write.
func levelOf(token string) (level string, ok bool) {
	switch {
	case token == "_":
		return "", true
	case token == "":
		return "", false
	case strings.IndexByte(token, '_') < 0:
		for i := range len(token) {
			if !plain(token[i]) {
				return "", false
			}
		}
		return token, true
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '_' {
			if i+2 >= len(token) {
				return "", false
			}
			hi, lo := strings.IndexByte(hexDigits, token[i+1]), strings.IndexByte(hexDigits, token[i+2])
			if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
				return "", false
			}
			b = append(b, byte(hi<<4|lo))
			i += 2
			continue
		}
		if !plain(c) {
			return "", false
		}
		b = append(b, c)
	}
	return string(b), true
}

// subject names a channel within a space.
func subject(space, app, channel string, buckets int) string {
	b := make([]byte, 0, len(space)+len(app)+len(channel)+16)
	b = append(b, space...)
	b = append(b, '.')
	b = appendLevel(b, app)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(bucket(app, channel, buckets)), 10)
	return string(appendLevels(b, channel))
}

func appendLevels(b []byte, channel string) []byte {
	for level := range strings.SplitSeq(channel, ".") {
		b = append(b, '.')
		b = appendLevel(b, level)
	}
	return b
}

// parseSubject is the reverse of subject; ok is false for any other text, a
// probe's included.
func parseSubject(s string) (space, app, channel string, ok bool) {
	space, rest, _ := strings.Cut(s, ".")
	token, rest, _ := strings.Cut(rest, ".")
	if token == appProbe {
		return "", "", "", false
	}
	if app, ok = levelOf(token); !ok {
		return "", "", "", false
	}
	number, rest, _ := strings.Cut(rest, ".")
	if n, err := strconv.ParseUint(number, 10, 31); err != nil || strconv.FormatUint(n, 10) != number || rest == "" {
		return "", "", "", false
	}
	if channel, ok = levelsOf(rest); !ok || earshot.CheckChannel(channel) != nil {
		return "", "", "", false
	}
	return space, app, channel, true
}

func levelsOf(tokens string) (channel string, ok bool) {
	var b strings.Builder
	first := true
	for token := range strings.SplitSeq(tokens, ".") {
		level, ok := levelOf(token)
		if !ok {
			return "", false
		}
		if !first {
			b.WriteByte('.')
		}
		first = false
		b.WriteString(level)
	}
	return b.String(), true
}

// bucket deals a channel to one of the buckets.
func bucket(app, channel string, buckets int) int {
	if buckets <= 1 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(app))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(channel))
	return int(h.Sum32() % uint32(buckets))
}

// inBucket matches all channels of a bucket, and its probes.
func inBucket(space string, bucket, buckets int) string {
	if buckets <= 1 {
		return space + ".>"
	}
	return space + ".*." + strconv.Itoa(bucket) + ".>"
}

// probeSubject is where a node's probes go. The node's token is its own.
func probeSubject(space string, bucket int, node string) string {
	return space + "." + appProbe + "." + strconv.Itoa(bucket) + "." + node
}

// removedKey is the key of the record of what was removed from a channel.
func removedKey(app, channel string) string {
	b := append([]byte("removed."), appendLevel(nil, app)...)
	return string(appendLevels(b, channel))
}
