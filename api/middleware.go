package api

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// Guard is what every HTTP request goes through: headers that tell browsers to
// guess nothing, a panic that becomes a 500 instead of a dead connection, and
// at debug a line for the log, without the query, which may hold a token.
func Guard(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		seen := &seer{ResponseWriter: w}
		seen.Header().Set("X-Content-Type-Options", "nosniff")
		seen.Header().Set("Referrer-Policy", "no-referrer")
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				log.Error("a request panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				if seen.status == 0 {
					write(seen, http.StatusInternalServerError, failed{failure{Code: "INTERNAL", Message: "internal"}})
				}
			}
			log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", seen.status, "took", time.Since(begun))
		}()
		next.ServeHTTP(seen, r)
	})
}

// A seer remembers the status that was answered.
type seer struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status.
func (s *seer) WriteHeader(code int) {
	if s.status == 0 {
		s.status = code
	}
	s.ResponseWriter.WriteHeader(code)
}

// Write is a status of 200 if none was written.
func (s *seer) Write(b []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (s *seer) Unwrap() http.ResponseWriter { return s.ResponseWriter }
