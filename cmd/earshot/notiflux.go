package main

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/earshot-io/earshot/config"
)

// dataOf sees to it that a server has a data directory. One that is nothing but a
// notiflux keeps nothing that anybody would miss: where it may not write it gets a
// directory of its own, which forget removes. Others fail when they start.
func dataOf(c *config.Config, log *slog.Logger) (forget func() error, err error) {
	if !c.IsNotiflux() || c.Engine.URL != "" || writable(c.Engine.Data) {
		return func() error { return nil }, nil
	}
	temp, err := tempDir(os.TempDir(), "/dev/shm")
	if err != nil {
		return nil, fmt.Errorf("the data directory %s cannot be written, and there is no other place: %w", c.Engine.Data, err)
	}
	log.Warn("the data directory cannot be written; what is stored goes to a temporary one, and with this process", "data", c.Engine.Data, "temporary", temp)
	c.Engine.Data = temp
	return func() error { return os.RemoveAll(temp) }, nil
}

// writable reports whether a directory is there, or can be made, and files in it.
func writable(dir string) bool {
	if os.MkdirAll(dir, 0o700) != nil {
		return false
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return false
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name())) == nil
}

// tempDir makes a directory in the first place that lets it. A container whose
// filesystem is read-only has /dev/shm.
func tempDir(places ...string) (dir string, err error) {
	for _, place := range places {
		dir, next := os.MkdirTemp(place, "earshot-*")
		if next == nil {
			return dir, nil
		}
		err = cmp.Or(err, next)
	}
	return "", err
}

// devNotiflux is the file in the data directory that holds the private key which
// signs tokens for notiflux's clients.
const devNotiflux = "notiflux_private.pem"

// ensureNotiflux makes that key if the directory has none, and returns it. Its
// public half becomes a signing key of the first app.
func ensureNotiflux(c *config.Config, data string) (private string, err error) {
	if len(c.Apps) == 0 {
		return "", nil // that is told elsewhere
	}
	path := filepath.Join(data, devNotiflux)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if text, err = newNotiflux(); err == nil {
			err = writeFile(path, text)
		}
	}
	if err != nil {
		return "", err
	}
	public, err := publicOf(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	c.Apps[0].SigningKeys = append(c.Apps[0].SigningKeys, config.SigningKey{Alg: "ES256", Key: config.Secret(public)})
	return string(text), nil
}

// newNotiflux draws a private key, in PKCS #8.
func newNotiflux() ([]byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// publicOf is the public half of a private key that newNotiflux drew.
func publicOf(private []byte) ([]byte, error) {
	block, _ := pem.Decode(private)
	if block == nil {
		return nil, errors.New("it is no key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("it is no key for ES256")
	}
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}
