package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot/config"
)

// writeCertificate makes a certificate for 127.0.0.1 with a serial number.
func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
}

func serialOf(t *testing.T, c *certificate) int64 {
	t.Helper()
	pair, err := c.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.Int64()
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	c := &certificate{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem"), log: slog.New(slog.DiscardHandler)}
	if err := c.load(); err == nil {
		t.Error("files that are not there are accepted")
	}
	synctest.Test(t, func(t *testing.T) {
		writeCertificate(t, c.certFile, c.keyFile, 1)
		if err := c.load(); err != nil {
			t.Fatal(err)
		}
		writeCertificate(t, c.certFile, c.keyFile, 22)
		if got := serialOf(t, c); got != 1 {
			t.Errorf("got serial %d: the files are looked at for every handshake", got)
		}
		time.Sleep(lookEvery)
		if got := serialOf(t, c); got != 22 {
			t.Errorf("got serial %d, want 22", got)
		}
		if err := os.WriteFile(c.certFile, []byte("half a"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		if got := serialOf(t, c); got != 22 {
			t.Errorf("got serial %d, want that the last good one goes on", got)
		}
		writeCertificate(t, c.certFile, c.keyFile, 333)
		time.Sleep(lookEvery)
		if got := serialOf(t, c); got != 333 {
			t.Errorf("got serial %d, want 333", got)
		}
	})
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	c := config.Default()
	c.Server = config.Server{Listen: "127.0.0.1:0"}
	c.TLS = config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	c.Engine.Data = dir
	c.Apps = []config.App{{
		Slug: "main", PublishKeys: []config.Secret{"k"}, SigningKeys: []config.SigningKey{{Alg: "HS256", Key: "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="}},
	}}
	a, err := New(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err == nil {
		t.Error("the server starts without its certificate")
	}
	writeCertificate(t, c.TLS.Cert, c.TLS.Key, 7)
	if a, err = New(c, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	conn, err := tls.Dial("tcp", a.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}) //nolint:gosec // its own certificate
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if state := conn.ConnectionState(); state.PeerCertificates[0].SerialNumber.Int64() != 7 || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("got serial %v, protocol %s", state.PeerCertificates[0].SerialNumber, state.NegotiatedProtocol)
	}
}
