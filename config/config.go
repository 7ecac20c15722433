package config

import "time"

// Config is everything that can be set.
type Config struct {
	// Server is how the server is reached and how it stops.
	Server Server `toml:"server"`
	// TLS makes the server speak TLS with certificates of your own.
	TLS TLS `toml:"tls"`
	// Engine is where messages are stored and numbered.
	Engine Engine `toml:"engine"`
	// Events is what becomes of the events that webhooks and streams of apps are
	// told.
	Events Events `toml:"events"`
	// Admin is who may make and change apps while the server runs, over
	// /admin/apps and /api/admin/apps. Without a password and a token nobody may.
	Admin Admin `toml:"admin"`
	// WebSocket is how connections are carried.
	WebSocket WebSocket `toml:"websocket"`
	// Limits refuse connections before they cost much. What is refused is told
	// at the handshake, with 429 or 503 and Retry-After, and counted. 0 is no limit.
	Limits Limits `toml:"limits"`
	// Gateways is what WebSocket APIs may reach.
	Gateways Gateways `toml:"gateways"`
	// Log is what the server writes to its standard error.
	Log Log `toml:"log"`
	// Protocols holds one section for each protocol, by its name.
	Protocols map[string]map[string]any `toml:"protocols"`
	// Apps are the applications: each has its own channels, keys and rules. The
	// first one takes who names no other.
	Apps []App `toml:"apps"`

	path string
	env  Environment
}

// Server is how the server is reached and how it stops.
type Server struct {
	// Listen is the address and port. HOST and PORT in the environment replace
	// its two parts.
	Listen string `toml:"listen"`
	// TrustedProxies are the addresses or networks (10.0.0.0/8) of proxies whose
	// X-Forwarded-For names the client.
	TrustedProxies []string `toml:"trusted_proxies"`
	// DrainWait is how long the server, told to stop, says on /readyz that it is
	// about to, before it closes anything: as long as a load balancer needs to see it.
	DrainWait Duration `toml:"drain_wait"`
	// DrainSpread is the time over which connections are then closed, one after
	// another, so that their clients do not all come back at once.
	DrainSpread Duration `toml:"drain_spread"`
}

// TLS makes the server speak TLS with certificates of your own.
type TLS struct {
	// Cert is the file with the certificate and its chain, in PEM. It is read
	// again when it changes; the server need not be restarted.
	Cert string `toml:"cert"`
	// Key is the file with the private key, in PEM.
	Key string `toml:"key"`
}

// Engine is where messages are stored and numbered.
type Engine struct {
	// Data is the directory of the embedded engine. One server uses it at a time.
	Data string `toml:"data"`
	// URL is a NATS cluster to use instead of the embedded engine, as in
	// nats://a:4222,nats://b:4222. Its servers should store with sync_interval: always.
	URL string `toml:"url"`
	// Credentials is a NATS credentials file for URL.
	Credentials string `toml:"credentials"`
	// MaxBytes bounds what the embedded engine stores; 0 is 80 % of the filesystem.
	MaxBytes Bytes `toml:"max_bytes"`
	// MessagesPerChannel is the most that history keeps of one channel.
	MessagesPerChannel int `toml:"messages_per_channel"`
	// ResumeWindow is how long a message that is not stored can be resumed.
	ResumeWindow Duration `toml:"resume_window"`
}

// Events is what becomes of events.
type Events struct {
	// MaxBytes bounds the outbox; of the embedded engine's store it takes an
	// eighth at the most. What every webhook was told is dropped when it fills up.
	// When what they were not told fills it, publishes that emit events fail.
	MaxBytes Bytes `toml:"max_bytes"`
	// Keep is how long an event stays in the outbox, told or not. It must be
	// longer than give_up.
	Keep Duration `toml:"keep"`
	// GiveUp is how old an event gets that a webhook does not take, before it
	// becomes a dead letter.
	GiveUp Duration `toml:"give_up"`
	// DeadKeep is how long a dead letter is kept, to be looked at and replayed.
	DeadKeep Duration `toml:"dead_keep"`
	// Timeout is how long a webhook may take to answer.
	Timeout Duration `toml:"timeout"`
}

// Admin is who may make and change apps while the server runs.
type Admin struct {
	// User is the operator's name, for Basic authentication. PUSHER_ADMIN_USERNAME
	// sets it too.
	User string `toml:"user"`
	// Password is the operator's, as its hash by argon2id, which
	// `earshot app password` makes, or as it is. PUSHER_ADMIN_PASSWORD sets it too.
	Password Secret `toml:"password"`
	// Token is a bearer token that may be used instead.
	Token Secret `toml:"token"`
	// MasterKey encrypts the secrets of apps that are made while the server runs:
	// 32 bytes in base64. EARSHOT_MASTER_KEY sets it too. Of several, with commas
	// between, the first encrypts and all decrypt. All nodes have the same; whoever
	// loses it loses those secrets.
	MasterKey Secret `toml:"master_key"`
}

// WebSocket is how connections are carried.
type WebSocket struct {
	// Compression offers permessage-deflate. It saves traffic and costs CPU.
	Compression bool `toml:"compression"`
	// PingEvery is how often a silent client is asked whether it is still there;
	// two pings without an answer end its connection. 0 never asks.
	PingEvery Duration `toml:"ping_every"`
	// MaxMessage is the largest message from a client. A larger one ends its
	// connection.
	MaxMessage Bytes `toml:"max_message"`
	// Queue is how much may wait for a client that does not read before it is cut.
	Queue Bytes `toml:"queue"`
	// Subscriptions is how many one connection may have.
	Subscriptions int `toml:"subscriptions"`
}

// Limits refuse connections before they cost much.
type Limits struct {
	// Connections is how many there may be on this server.
	Connections int `toml:"connections"`
	// Handshakes is how many may be in progress at once; the rest wait.
	Handshakes int `toml:"handshakes"`
	// ConnectRate is how many connections may begin in a second.
	ConnectRate int `toml:"connect_rate"`
	// ConnectionsPerAddress is how many one client address may have, or of IPv6 one
	// network of 64 bits.
	ConnectionsPerAddress int `toml:"connections_per_address"`
	// ConnectionsPerUser is how many one user of an app may have.
	ConnectionsPerUser int `toml:"connections_per_user"`
}

// Gateways is what WebSocket APIs may reach.
type Gateways struct {
	// Allow are networks (10.0.0.0/8), addresses and host names that integrations and
	// authorizers of apps which are made while the server runs may reach, by plain
	// http too, though they are internal. Those of this file's apps may go anywhere.
	Allow []string `toml:"allow"`
}

// Log is what the server writes to its standard error.
type Log struct {
	// Level is debug, info, warn or error. At debug every HTTP request is
	// written; query strings, tokens and payloads never are.
	Level string `toml:"level"`
	// Format is text or json.
	Format string `toml:"format"`
}

// App is one application.
type App struct {
	// Slug is its name on this server: a-z, 0-9 and -.
	Slug string `toml:"slug"`
	// Name is for people; without it, the slug is.
	Name string `toml:"name"`
	// Key names it to clients and publishers that have no slug, as Ex Pusher Lite's:
	// 1 to 64 letters, digits, - and _.
	Key Secret `toml:"key"`
	// Secrets are what it shares with its own servers, the newest first: two while
	// one is replaced. With key they may publish as Ex Pusher Lite's, and they verify
	// the tokens of its clients.
	Secrets []Secret `toml:"secrets"`
	// Owners are the names of those who may see and change this app alone.
	Owners []string `toml:"owners"`
	// Hosts are host names that select it.
	Hosts []string `toml:"hosts"`
	// PublishKeys may publish by POST /publish, as bearer keys. Any secret may be
	// given as "file:PATH" or "env:NAME" instead; a path is relative to this file.
	PublishKeys []Secret `toml:"publish_keys"`
	// SigningKeys verify the tokens of its clients. JWT_PUBLIC_KEY_B64 in the
	// environment is one more of the first app, for ES256 and notiflux; without any
	// app it makes one.
	SigningKeys []SigningKey `toml:"signing_keys"`
	// AccessKeys verify requests that are signed with AWS Signature Version 4, as
	// AWS's SDKs publish through Lambda's API.
	AccessKeys []AccessKey `toml:"access_keys"`
	// UnsignedNetworks are addresses or networks (10.0.0.0/8) from which Lambda's
	// API is open to everybody, whatever they sign with. Behind a proxy that is not
	// among server.trusted_proxies, the address is the proxy's.
	UnsignedNetworks []string `toml:"unsigned_networks"`
	// Audience must be in every token's aud; empty asks for none.
	Audience string `toml:"audience"`
	// Issuer must be every token's iss; empty asks for none.
	Issuer string `toml:"issuer"`
	// Origins are the browser origins that may connect, as in
	// "https://example.com", or "//*.example.com" for a host and all below it with
	// any scheme, or "same-host" for the host that is asked; without any, all may,
	// since tokens decide.
	Origins []string `toml:"origins"`
	// ExpiryCloses ends a connection 30 seconds after its token has expired,
	// unless the client has sent a newer one, and a subscription likewise with
	// the token of its own that allowed it.
	ExpiryCloses bool `toml:"expiry_closes"`
	// RequireTLS refuses what did not come over TLS, to this server or to one of
	// server.trusted_proxies, which says so by X-Forwarded-Proto.
	RequireTLS bool `toml:"require_tls"`
	// KeySignedTokens accepts tokens of Ex Pusher Lite's clients that are signed
	// with key. That is unsafe: it is no secret, and who has it may do everything
	// that a token can allow.
	KeySignedTokens bool `toml:"key_signed_tokens"`
	// Limits bound what it uses, on each node; 0 is no limit.
	Limits AppLimits `toml:"limits"`
	// Replay is what a new subscriber hears of what was said before, where its
	// protocol has no history, as Phoenix.
	Replay Replay `toml:"replay"`
	// RecordEvents keeps events to be read from GET /events, without a webhook
	// too; with one they can be read anyway.
	RecordEvents bool `toml:"record_events"`
	// Channels are rules for channels; the first that matches counts. Where none does,
	// a name with a colon before any dot, as in "room:lobby", is live, and "public:"
	// with the app's slug open to all besides; every other channel is logged.
	Channels []Channel `toml:"channels"`
	// Webhooks are addresses that are told of the app's events.
	Webhooks []Webhook `toml:"webhooks"`
	// Gateways are WebSocket APIs as Amazon API Gateway has them. `earshot import`
	// makes them of CloudFormation and SAM templates.
	Gateways []Gateway `toml:"gateways"`

	byToken bool // tokens alone publish: a notiflux
}

// Webhook is an address that is told of events.
type Webhook struct {
	// ID is its name within the app: a-z, 0-9 and -. It is what it has been told
	// that goes by the name, so that it may move to another address.
	ID string `toml:"id"`
	// URL is where events are posted. It may be plain http, and an internal address.
	URL string `toml:"url"`
	// Secrets sign what is posted, as in "whsec_…": two while one is replaced.
	// `earshot webhook secret` makes one.
	Secrets []Secret `toml:"secrets"`
	// Events are the types that it is told, as in "messagePublished"; each * stands
	// for any characters. Without any it is told all.
	Events []string `toml:"events"`
}

// AppLimits bound what one application uses.
type AppLimits struct {
	// Connections is how many clients may be connected.
	Connections int `toml:"connections"`
	// Channels is how many subscriptions one connection may have.
	Channels int `toml:"channels"`
	// MessageBytes is how much data a message may have.
	MessageBytes Bytes `toml:"message_bytes"`
	// ClientRate is how many messages a second one connection may publish; it may
	// have saved up ten seconds.
	ClientRate float64 `toml:"client_rate"`
	// ServerRate is how many messages a second the app's own servers may publish.
	ServerRate float64 `toml:"server_rate"`
}

// Replay says what new subscribers hear of what was said before.
type Replay struct {
	// Size is how many messages at the most; 0 is none.
	Size int `toml:"size"`
	// For is how old they may be.
	For Duration `toml:"for"`
}

// SigningKey is a key that tokens are verified with.
type SigningKey struct {
	// ID is what a token's kid must be; empty accepts any.
	ID string `toml:"id"`
	// Alg is its one algorithm: HS256, HS384, HS512, RS256, RS384, RS512, PS256,
	// PS384, PS512, ES256, ES384, ES512 or EdDSA.
	Alg string `toml:"alg"`
	// Key is, in base64, the raw secret (HS*) or the public key in PEM; PEM may
	// also stand as it is.
	Key Secret `toml:"key"`
}

// AccessKey is an id and its secret.
type AccessKey struct {
	// ID is the access key id: letters, digits and _.
	ID string `toml:"id"`
	// Secret is the secret access key.
	Secret Secret `toml:"secret"`
	// Allow is what it may be used for: "lambda:InvokeFunction" to publish, or
	// "execute-api:ManageConnections", each perhaps with a function's or API's name
	// behind it, as in "lambda:InvokeFunction:my-fn*"; * stands for any characters.
	// Empty allows everything.
	Allow []string `toml:"allow"`
}

// Channel is a rule for the channels that match.
type Channel struct {
	// Match is the channels' name; each * stands for any characters.
	Match string `toml:"match"`
	// Live channels are never stored: no history, no resume, less work.
	Live bool `toml:"live"`
	// Depth is how many messages history keeps; 0 is engine.messages_per_channel.
	Depth int `toml:"depth"`
	// Deliver is "after-disk" or "before-disk". Before is sooner; a machine that
	// crashes may then have delivered what it no longer knows.
	Deliver string `toml:"deliver"`
	// Open is what anybody who may connect can do without a grant of the token:
	// "subscribe", "publish".
	Open []string `toml:"open"`
}

// Default returns the settings of `earshot serve` without any file.
func Default() *Config {
	return &Config{
		Server: Server{Listen: ":8080", DrainWait: Duration(5 * time.Second), DrainSpread: Duration(30 * time.Second)},
		Engine: Engine{Data: "earshot-data", MessagesPerChannel: 10_000, ResumeWindow: Duration(5 * time.Minute)},
		Events: Events{
			MaxBytes: 1 << 30, Keep: Duration(72 * time.Hour), GiveUp: Duration(24 * time.Hour), DeadKeep: Duration(720 * time.Hour),
			Timeout: Duration(10 * time.Second),
		},
		WebSocket: WebSocket{PingEvery: Duration(25 * time.Second), MaxMessage: 128 << 10, Queue: 1 << 20, Subscriptions: 10_000},
		Limits:    Limits{Handshakes: 128, ConnectRate: 5000},
		Log:       Log{Level: "info", Format: "text"},
	}
}
