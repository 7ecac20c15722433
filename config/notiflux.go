package config

import "time"

// notifluxKey is the variable that notiflux has its public key in: PEM in base64,
// in which there may be line breaks.
const notifluxKey = "JWT_PUBLIC_KEY_B64"

// What a notiflux does without being told.
const (
	notifluxApp    = "notiflux"
	notifluxListen = "127.0.0.1:8080"
	// notifluxPing is how often it pings; a client that is silent for two is gone.
	notifluxPing = 15 * time.Second
)

// Notiflux reports whether the variables of a notiflux are set, which is enough
// for a server: with them alone it is one.
func (e Environment) Notiflux() bool { return e.Get(notifluxKey) != "" }

// IsNotiflux reports whether the one app is the one that the variables made,
// without any in a file: then nothing need outlive the process.
func (c *Config) IsNotiflux() bool { return len(c.Apps) == 1 && c.Apps[0].byToken }

// readNotiflux applies JWT_PUBLIC_KEY_B64: its key is one more signing key of the
// first app. Where there is none, it makes one, which is as a notiflux is: its
// channels are live, and tokens publish, so that it needs no other key. What is
// wrong with the key is told with those of the file.
func (c *Config) readNotiflux() {
	if !c.env.Notiflux() {
		return
	}
	if len(c.Apps) == 0 {
		c.Apps = []App{{Slug: notifluxApp, byToken: true, Channels: []Channel{{Match: "*", Live: true}}}}
		if c.Server.Listen == Default().Server.Listen {
			c.Server.Listen = notifluxListen
		}
		c.WebSocket.PingEvery = Duration(notifluxPing)
	}
	first := &c.Apps[0]
	first.SigningKeys = append(first.SigningKeys, SigningKey{Alg: "ES256", Key: Secret(c.env.Get(notifluxKey))})
}
