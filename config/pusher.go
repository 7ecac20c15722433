package config

import (
	"context"
	"net/http"
	"net/netip"
)

// knownPassword is Ex Pusher Lite's own, which everybody knows.
const knownPassword = "pusher_admin_password"

// readPusher applies the two variables of an Ex Pusher Lite.
func (c *Config) readPusher() {
	if user := c.env.Get("PUSHER_ADMIN_USERNAME"); user != "" {
		c.Admin.User = user
	}
	if password := c.env.Get("PUSHER_ADMIN_PASSWORD"); password != "" {
		c.Admin.Password = Secret(password)
	}
}

// CheckPublic reports, as Problems, what may be on a developer's machine only:
// Ex Pusher Lite's own password, as it is or hashed.
func (c *Config) CheckPublic() error {
	var p Problems
	o, err := c.Operator()
	if err != nil || o == nil {
		return nil // Check tells of it, or there is nobody
	}
	try := &http.Request{Header: http.Header{}}
	try.SetBasicAuth(c.Admin.User, knownPassword)
	if _, err := o.Admit(context.Background(), try, netip.Addr{}); err == nil {
		p.add("admin.password: everybody knows it, as it is Ex Pusher Lite's own; choose another one, as PUSHER_ADMIN_PASSWORD or by `earshot app password`")
	}
	return p.or()
}
