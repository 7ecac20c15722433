package ws

import (
	"net/http"
	"strconv"
	"strings"
)

// deflateAnswer accepts compression (RFC 7692 §7.1): frames are shared, so
// nobody keeps a context.
const deflateAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// windowAnswer must be added for a client that limits our window to what it is
// anyway (RFC 7692 §7.1.2.1).
const windowAnswer = "; server_max_window_bits=15"

// answerDeflate returns what accepts the first of the client's offers that can
// be, empty if none can. One that asks for a smaller window of ours cannot.
func answerDeflate(h http.Header) string {
	for _, line := range h.Values("Sec-WebSocket-Extensions") {
		for offer := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(offer, ";")
			if strings.TrimSpace(name) != "permessage-deflate" {
				continue
			}
			switch ok, window := acceptable(params); {
			case ok && window:
				return deflateAnswer + windowAnswer
			case ok:
				return deflateAnswer
			}
		}
	}
	return ""
}

// acceptable judges an offer's parameters; one that is unknown, twice or wrong
// makes it none (RFC 7692 §7). Window says that our window was limited.
func acceptable(params string) (ok, window bool) {
	seen := map[string]bool{}
	for param := range strings.SplitSeq(params, ";") {
		name, value, given := strings.Cut(strings.TrimSpace(param), "=")
		name, value = strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"`)
		if name == "" && !given {
			continue
		}
		if seen[name] {
			return false, false
		}
		seen[name] = true
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if given {
				return false, false
			}
		case "client_max_window_bits":
			if given && !windowBits(value) {
				return false, false
			}
		case "server_max_window_bits":
			if value != "15" {
				return false, false
			}
		default:
			return false, false
		}
	}
	return true, seen["server_max_window_bits"]
}

func windowBits(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 8 && n <= 15 && s[0] != '0' && s[0] != '+'
}
