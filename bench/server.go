package bench

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

// A Server is a server of our own, on a data directory of its own: an app
// whose channels are live below LivePrefix and logged otherwise.
type Server struct {
	dir     string
	command []string
	listen  string
	key     earshot.SigningKey
	publish string
}

// serverConfig is what the server is told.
const serverConfig = `[server]
listen = %q
drain_wait = "0s"
drain_spread = "0s"

[engine]
data = %q

[[apps]]
slug = "bench"
publish_keys = [%q]

[[apps.signing_keys]]
id = %q
alg = %q
key = %q

[[apps.channels]]
match = %q
live = true
`

// NewServer prepares a server that command serves when it is given the path of
// a config file as its last argument. Remove forgets it.
func NewServer(command []string) (*Server, error) {
	dir, err := os.MkdirTemp("", "earshot-bench-")
	if err != nil {
		return nil, err
	}
	s := &Server{
		dir: dir, publish: auth.NewPublishKey(),
		key: earshot.SigningKey{ID: "bench", Alg: "HS256", Key: []byte(auth.NewSecret())},
	}
	config := filepath.Join(dir, "earshot.toml")
	s.command = append(slices.Clone(command), config)
	if s.listen, err = freeAddress(); err == nil {
		text := fmt.Sprintf(serverConfig, s.listen, filepath.Join(dir, "data"), s.publish,
			s.key.ID, s.key.Alg, base64.StdEncoding.EncodeToString(s.key.Key), LivePrefix+"*")
		err = os.WriteFile(config, []byte(text), 0o600)
	}
	if err != nil {
		s.Remove()
		return nil, err
	}
	return s, nil
}

// freeAddress finds a loopback address that nobody listens on: a server that is
// started again must have the one that it had.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Start starts the server and waits until it is ready. It is a Starter.
func (s *Server) Start(ctx context.Context) (*Process, error) {
	p, err := start(s.command, nil)
	if err != nil {
		return nil, err
	}
	p.URL, p.PublishKey = "http://"+s.listen, s.publish
	if p.Token, err = newToken(s.key); err == nil {
		err = p.awaitReady(ctx)
	}
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s: %w", strings.Join(s.command, " "), err)
	}
	return p, nil
}

// Fresh returns a Starter that starts a new server each time, and forgets it
// when it ends.
func Fresh(command []string) Starter {
	return func(ctx context.Context) (*Process, error) {
		s, err := NewServer(command)
		if err != nil {
			return nil, err
		}
		p, err := s.Start(ctx)
		if err != nil {
			s.Remove()
			return nil, err
		}
		p.after = s.Remove
		return p, nil
	}
}

// Remove deletes everything that the server kept. It must not run.
func (s *Server) Remove() { _ = os.RemoveAll(s.dir) }
