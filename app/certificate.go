package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often the files of a certificate are looked at, at most.
const lookEvery = time.Second

// A certificate is read from files, again whenever they have changed. While
// what is there cannot be used, the last good one is.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	seen   [2]stamp // of the files that were read last
	looked time.Time
}

// A stamp tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// load reads the files for the first time.
func (c *certificate) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked = time.Now()
	return c.read()
}

// read reads the files; the certificate is locked.
func (c *certificate) read() error {
	c.seen = [2]stamp{stampOf(c.certFile), stampOf(c.keyFile)}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	c.loaded = &pair
	return nil
}

// get is a tls.Config's GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		c.refresh()
	}
	return c.loaded, nil
}

// refresh reads files that have changed; the certificate is locked.
func (c *certificate) refresh() {
	if c.seen == [2]stamp{stampOf(c.certFile), stampOf(c.keyFile)} {
		return
	}
	if err := c.read(); err != nil {
		c.log.Error("the new certificate cannot be used; the old one goes on", "err", err)
		return
	}
	c.log.Info("a new certificate is in use", "file", c.certFile)
}

func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}
