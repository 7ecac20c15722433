package hub_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/earshot-io/earshot/hub"
)

// TestUserAgent: whatever a client calls itself is kept as text, and briefly.
func TestUserAgent(t *testing.T) {
	for given, want := range map[string]string{
		"": "", "curl/8": "curl/8", "bad\xff\xfe!": "bad!", strings.Repeat("a", 255) + "é": strings.Repeat("a", 255), strings.Repeat("b", 16<<10): strings.Repeat("b", 256),
	} {
		if got := hub.UserAgent(given); got != want || !utf8.ValidString(got) {
			t.Errorf("of %.20q it keeps %q", given, got)
		}
	}
}
