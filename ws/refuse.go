package ws

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/proto"
)

// statusOf translates every code into an HTTP status.
func statusOf(c earshot.Code) int {
	switch c {
	case earshot.Internal:
		return http.StatusInternalServerError
	case earshot.Invalid:
		return http.StatusBadRequest
	case earshot.Unauthenticated, earshot.Expired:
		return http.StatusUnauthorized
	case earshot.Forbidden, earshot.Kicked:
		return http.StatusForbidden
	case earshot.NotFound:
		return http.StatusNotFound
	case earshot.Conflict:
		return http.StatusConflict
	case earshot.TooLarge:
		return http.StatusRequestEntityTooLarge
	case earshot.Limited, earshot.Slow:
		return http.StatusTooManyRequests
	case earshot.Full:
		return http.StatusInsufficientStorage
	case earshot.Unavailable, earshot.Unknown, earshot.Shutdown:
		return http.StatusServiceUnavailable
	case earshot.Timeout:
		return http.StatusGatewayTimeout
	}
	return 0
}

// refusal is the body of an answer that refuses.
type refusal struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// refuse answers a handshake other than by yes.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.counts.refused.Add(1)
	var verbatim *proto.Refusal
	if errors.As(err, &verbatim) {
		s.log.Debug("handshake refused", "path", r.URL.Path, "status", verbatim.Status, "err", verbatim.Err)
		maps.Copy(w.Header(), verbatim.Header)
		w.WriteHeader(verbatim.Status)
		_, _ = w.Write(verbatim.Body) // a client that has gone need not be told
		return
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = &earshot.Error{Code: earshot.Timeout, Text: "the handshake took too long", RetryAfter: time.Second, Err: err}
	}
	e := earshot.AsError(err)
	status, level := statusOf(e.Code), slog.LevelDebug
	if e.Code == earshot.Internal {
		level = slog.LevelWarn
	}
	s.log.Log(r.Context(), level, "handshake refused", "path", r.URL.Path, "status", status, "err", err)
	if e.Code.Temporary() {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetrySeconds()))
	}
	code := e.Reason
	if code == "" {
		code = strings.ToUpper(strings.ReplaceAll(e.Code.String(), " ", "_"))
	}
	text := e.Text
	if e.Code == earshot.Internal {
		text = "internal error"
	}
	writeRefusal(w, status, code, text)
}

// malformed answers a request that is no proper upgrade.
func (s *Server) malformed(w http.ResponseWriter, status int, why string) {
	s.counts.refused.Add(1)
	if status == http.StatusUpgradeRequired { // RFC 6455 §4.4
		w.Header().Set("Sec-WebSocket-Version", "13")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
	}
	writeRefusal(w, status, "BAD_HANDSHAKE", why)
}

func writeRefusal(w http.ResponseWriter, status int, code, text string) {
	var body refusal
	body.Error.Code, body.Error.Message = code, text
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // two strings
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that has gone need not be told
}
