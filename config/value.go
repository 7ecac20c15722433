package config

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// A Duration is a time.Duration that is written as in "1m30s".
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads, but nothing negative.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf(`%q is not a duration such as "30s" or "5m"`, text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes it without parts that are zero.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String returns it as it is written in the file.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Seconds is a number of seconds that may be less than 0.
type Seconds int

// Bytes is a number of bytes that is written as in "1MiB".
type Bytes int64

var units = [...]struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}, {"", 1}}

// UnmarshalText reads a number with or without a unit: B, kB, MB, GB, KiB, MiB, GiB.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := string(text)
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.size {
			break
		}
		*b = Bytes(n * u.size)
		return nil
	}
	return fmt.Errorf(`%q is not a size such as "512KiB" or "2MB"`, s)
}

// MarshalText writes it in the largest unit of 1024 that fits.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String returns it as it is written in the file.
func (b Bytes) String() string {
	for _, u := range units[:3] {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// A Secret is a text that is never printed.
type Secret string

const hidden = "(hidden)"

// String hides it.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides it.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue hides it.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
