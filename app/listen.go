package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/earshot-io/earshot/api"
)

// Bounds of the HTTP side. An upgrade that succeeded is no longer bound by them.
const (
	readTime  = 30 * time.Second
	writeTime = 60 * time.Second
	idleTime  = 60 * time.Second
)

// listen opens the listener and makes the HTTP server; nothing is served yet.
func (a *App) listen() error {
	listener, err := net.Listen("tcp", a.config.Server.Listen)
	if err != nil {
		return explainListen(a.config.Server.Listen, err)
	}
	a.listener = listener
	a.onStop("listener", func(context.Context) error {
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	var secure *tls.Config
	if a.Secure() {
		c := &certificate{certFile: a.config.TLS.Cert, keyFile: a.config.TLS.Key, log: a.log}
		if err := c.load(); err != nil {
			return err
		}
		secure = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get}
	}
	a.door.KeepHeads(a.apps.HasGateways)
	a.listener = addressed{a.door.Listen(listener, secure), listener.Addr()}
	a.server = a.newServer()
	return nil
}

// addressed is a listener with the address of the one below it.
type addressed struct {
	net.Listener
	addr net.Addr
}

// Addr is the address.
func (l addressed) Addr() net.Addr { return l.addr }

func (a *App) newServer() *http.Server {
	front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*a.front.Load()).ServeHTTP(w, r) })
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	server := &http.Server{
		Handler: api.Guard(front, a.log), ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		Protocols: protocols, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	a.door.Guard(server)
	return server
}

// explainListen says in one line why an address cannot be had.
func explainListen(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program; choose another address with --listen", address)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s may not be listened on by this user; ports below 1024 need a privilege", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is not an address of this machine", address)
	}
	return err
}

// serveStarting answers while the engine recovers.
func (a *App) serveStarting(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		_, _ = w.Write([]byte("ok\n"))
		return
	}
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/readyz" {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(a.whyNot().Error() + "\n"))
		return
	}
	if strings.HasSuffix(r.URL.Path, "/longpoll") {
		// Clients of Phoenix come back after what is no JSON, and never after JSON that
		// is no answer to a poll.
		http.Error(w, "the server is "+a.whyNot().Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"error":{"code":"NOT_READY","message":"the server is ` + a.whyNot().Error() + `"}}` + "\n"))
}
