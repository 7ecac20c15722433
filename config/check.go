package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/guard"
	"github.com/earshot-io/earshot/tenant"
)

// Check reports, as Problems, every setting that cannot be meant. It opens no
// file and no socket, and asks for no app: Apps does.
func (c *Config) Check() error {
	var p Problems
	c.checkServer(&p)
	c.checkEngine(&p)
	c.checkEvents(&p)
	c.checkLimits(&p)
	c.checkAdmin(&p)
	if _, err := c.Guard(); err != nil {
		p.add("gateways.allow: %v", err)
	}
	if _, err := c.LogLevel(); err != nil {
		p.add("log.level: %v", err)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		p.add(`log.format: %q is neither "text" nor "json"`, c.Log.Format)
	}
	return p.or()
}

func (c *Config) checkServer(p *Problems) {
	if err := checkAddress(c.Server.Listen); err != nil {
		p.add("server.listen: %v", err)
	}
	if _, err := c.Proxies(); err != nil {
		p.add("server.trusted_proxies: %v", err)
	}
	switch {
	case c.TLS.Cert != "" && c.TLS.Key == "":
		p.add("tls.key: a certificate needs its private key")
	case c.TLS.Key != "" && c.TLS.Cert == "":
		p.add("tls.cert: a private key needs its certificate")
	}
}

func checkAddress(listen string) error {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf(`%q is not an address and port such as "127.0.0.1:8080" or ":8080"`, listen)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is not a port", port)
	}
	return nil
}

func (c *Config) checkEngine(p *Problems) {
	e := &c.Engine
	if e.URL == "" && e.Data == "" {
		p.add("engine.data: the embedded engine needs a directory")
	}
	for server := range strings.SplitSeq(e.URL, ",") {
		if u, err := url.Parse(strings.TrimSpace(server)); err != nil || e.URL != "" && u.Host == "" {
			p.add(`engine.url: %q is not an address such as "nats://host:4222"`, server)
		}
	}
	if e.MessagesPerChannel < 1 {
		p.add("engine.messages_per_channel: it must be at least 1")
	}
	if time.Duration(e.ResumeWindow) < time.Second {
		p.add("engine.resume_window: it must be at least 1s")
	}
}

func (c *Config) checkEvents(p *Problems) {
	e := &c.Events
	if e.MaxBytes < 1<<20 {
		p.add("events.max_bytes: it must be at least 1MiB")
	}
	if e.GiveUp <= 0 || e.Keep <= e.GiveUp {
		p.add("events.keep: it must be longer than events.give_up, or events would be gone before they are given up")
	}
	if time.Duration(e.Timeout) < 100*time.Millisecond || time.Duration(e.Timeout) > time.Minute {
		p.add("events.timeout: it must be from 100ms to 1m")
	}
	if time.Duration(e.DeadKeep) < time.Hour {
		p.add("events.dead_keep: it must be at least 1h")
	}
}

func (c *Config) checkAdmin(p *Problems) {
	if _, err := c.Operator(); err != nil {
		p.add("admin: %v", err)
	}
	if _, err := c.MasterKeys(); err != nil {
		p.add("admin.master_key: %v", err)
	}
}

// Operator recognizes who may administer the server; nil if nobody may.
func (c *Config) Operator() (*auth.Operator, error) {
	return auth.NewOperator(auth.OperatorConfig{User: c.Admin.User, Password: string(c.Admin.Password), Token: string(c.Admin.Token)})
}

// MasterKeys are the keys that encrypt the secrets of apps; nil for none.
func (c *Config) MasterKeys() (*tenant.Keyring, error) {
	return tenant.NewKeyring(string(c.Admin.MasterKey))
}

func (c *Config) checkLimits(p *Problems) {
	if c.WebSocket.MaxMessage < 1024 {
		p.add("websocket.max_message: it must be at least 1KiB")
	}
	if c.WebSocket.Queue < c.WebSocket.MaxMessage {
		p.add("websocket.queue: it must be at least websocket.max_message")
	}
	if c.WebSocket.Subscriptions < 1 {
		p.add("websocket.subscriptions: it must be at least 1")
	}
}

// CheckProtocols reports, as Problems, sections of protocols that there are not.
func (c *Config) CheckProtocols(names []string) error {
	var p Problems
	for _, name := range sortedKeys(c.Protocols) {
		if !slices.Contains(names, name) {
			p.add("protocols.%s: unknown protocol%s", name, didYouMean(name, names, "protocols"))
		}
	}
	return p.or()
}

// Proxies returns the networks of trusted proxies.
func (c *Config) Proxies() ([]netip.Prefix, error) { return networks(c.Server.TrustedProxies) }

// Guard returns what decides where integrations of apps that are made at run time
// may lead.
func (c *Config) Guard() (*guard.Guard, error) { return guard.New(c.Gateways.Allow...) }

func networks(list []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range list {
		if addr, err := netip.ParseAddr(s); err == nil {
			all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", s)
		}
		all = append(all, network.Masked())
	}
	return all, nil
}

// LogLevel returns the level of the log.
func (c *Config) LogLevel() (slog.Level, error) {
	switch c.Log.Level {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is not debug, info, warn or error", c.Log.Level)
}
