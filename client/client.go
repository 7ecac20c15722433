package client

import (
	"context"
	"errors"
	"sync/atomic"
)

// A Client is a Publisher and an Issuer of one Config. It is safe for concurrent
// use. A nil Client is one that was not configured: it fails with
// ErrNotConfigured.
type Client struct {
	publisher *Publisher
	issuer    *Issuer
	// noPublisher and noIssuer say what is missing for the half that is not there.
	noPublisher, noIssuer error
}

// ErrNotConfigured is the failure of a nil Client: Configure was not called.
var ErrNotConfigured = errors.New("client: not configured; call client.Configure first")

// ErrConfigured is the failure of a second Configure.
var ErrConfigured = errors.New("client: configured already; use client.New for further configurations")

// New makes a client. It fails with a *ConfigError if what is set is wrong or
// incomplete, and if nothing is set. Using a half whose fields are not set fails
// with the *ConfigError that names the first of them.
func New(c Config) (*Client, error) {
	made := &Client{}
	made.publisher, made.noPublisher = NewPublisher(c)
	made.issuer, made.noIssuer = NewIssuer(c)
	switch {
	case made.noPublisher != nil && c.publishes():
		return nil, made.noPublisher
	case made.noIssuer != nil && c.issues():
		made.Close()
		return nil, made.noIssuer
	case made.noPublisher != nil && made.noIssuer != nil:
		return nil, errors.Join(made.noPublisher, made.noIssuer)
	}
	return made, nil
}

// publishes reports whether anything is set that is for publishing.
func (c *Config) publishes() bool {
	return c.URL != "" || c.PublishKey != "" || c.PublishFunctionARN != "" || c.Transport != nil
}

// issues reports whether anything is set that is for tokens.
func (c *Config) issues() bool {
	return c.IssuerPrivateKey != "" || c.IssuerKeyAlgorithm != "" || c.IssuerKeyID != "" || c.IssuerPrivateKeyBase64
}

// Publish is Publisher.Publish.
func (c *Client) Publish(ctx context.Context, m Message) (*Answer, error) {
	p, err := c.Publisher()
	if err != nil {
		return nil, err
	}
	return p.Publish(ctx, m)
}

// PublishAll is Publisher.PublishAll.
func (c *Client) PublishAll(ctx context.Context, messages []Message) (*Answer, error) {
	p, err := c.Publisher()
	if err != nil {
		return nil, err
	}
	return p.PublishAll(ctx, messages)
}

// Issue is Issuer.Issue.
func (c *Client) Issue(claims any) (string, error) {
	i, err := c.Issuer()
	if err != nil {
		return "", err
	}
	return i.Issue(claims)
}

// Publisher returns the half that publishes.
func (c *Client) Publisher() (*Publisher, error) {
	if c == nil {
		return nil, ErrNotConfigured
	}
	return c.publisher, c.noPublisher
}

// Issuer returns the half that issues tokens.
func (c *Client) Issuer() (*Issuer, error) {
	if c == nil {
		return nil, ErrNotConfigured
	}
	return c.issuer, c.noIssuer
}

// Close closes the connections that wait for the next message.
func (c *Client) Close() {
	if c != nil && c.publisher != nil {
		c.publisher.Close()
	}
}

// standard is the client of the process. It is the one thing in this project
// that a package holds and a program changes, for programs that have one
// installation and no place to keep its client. It is written once, by
// Configure, and never again, so nobody finds another one in it later.
var standard atomic.Pointer[Client]

// Configure makes the process's client, which Default returns. It is called
// once, when the program starts, and fails with ErrConfigured after that. A
// library does not call it: it takes a *Client.
func Configure(c Config) error {
	made, err := New(c)
	if err != nil {
		return err
	}
	if !standard.CompareAndSwap(nil, made) {
		made.Close()
		return ErrConfigured
	}
	return nil
}

// Default returns the process's client, nil before Configure.
func Default() *Client { return standard.Load() }
