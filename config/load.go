package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Environment is where variables are looked up: os.Environ, or a test's.
type Environment []string

// Get returns the value of a variable, empty if it is not set.
func (e Environment) Get(name string) string {
	v, _ := e.lookup(name)
	return v
}

func (e Environment) lookup(name string) (string, bool) {
	for _, v := range slices.Backward(e) {
		if rest, ok := strings.CutPrefix(v, name+"="); ok {
			return rest, true
		}
	}
	return "", false
}

// Load fills c, which holds the defaults, from the file at path, unless path is
// empty, and from the environment. It reads the files of secrets. Its error is
// Problems, or says why the file cannot be read.
func (c *Config) Load(path string, env Environment) error {
	c.env = env
	var p Problems
	if path != "" {
		c.path = path
		if err := c.readFile(path, &p); err != nil {
			return err
		}
	}
	c.readNotiflux()
	c.readPusher()
	c.readEnvironment(&p)
	c.resolveSecrets(&p)
	return p.or()
}

// Path is the file that the settings were read from, empty if there was none.
func (c *Config) Path() string { return c.path }

func (c *Config) readFile(path string, p *Problems) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var table map[string]any
	if err := toml.Unmarshal(text, &table); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, column := at.Position()
			return fmt.Errorf("%s:%d:%d: %s", path, row, column, strings.TrimPrefix(at.Error(), "toml: "))
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	fillTable(reflect.ValueOf(c).Elem(), table, "", p)
	return nil
}

// readEnvironment applies HOST, PORT and EARSHOT_SECTION_FIELD. A variable that
// begins like a section's, and names no field of it, is a problem.
func (c *Config) readEnvironment(p *Problems) {
	c.readHostPort()
	for section, value := range reflect.ValueOf(c).Elem().Fields() {
		if value.Kind() != reflect.Struct {
			continue
		}
		readVariables(value, "EARSHOT_"+strings.ToUpper(section.Tag.Get("toml"))+"_", c.env, p)
	}
}

// readVariables sets the fields of one section.
func readVariables(section reflect.Value, prefix string, env Environment, p *Problems) {
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		field, ok := fieldOf(section, strings.ToLower(rest))
		if !ok {
			known := keysOf(section.Type())
			for i := range known {
				known[i] = prefix + strings.ToUpper(known[i])
			}
			p.add("%s: unknown variable%s", name, didYouMean(name, known, ""))
			continue
		}
		if err := fillWord(field, value); err != nil {
			p.add("%s: %v", name, err)
		}
	}
}

// readHostPort applies the two variables that hosting platforms set.
func (c *Config) readHostPort() {
	host, port, err := net.SplitHostPort(c.Server.Listen)
	if err != nil {
		return // Check reports it.
	}
	if h, ok := c.env.lookup("HOST"); ok && h != "" {
		host = h
	}
	if v, ok := c.env.lookup("PORT"); ok && v != "" {
		port = v
	}
	c.Server.Listen = net.JoinHostPort(host, port)
}

// resolveSecrets replaces secrets that name a file or a variable.
func (c *Config) resolveSecrets(p *Problems) {
	if key, ok := c.env.lookup("EARSHOT_MASTER_KEY"); ok && key != "" {
		c.Admin.MasterKey = Secret(key)
	}
	c.resolve(&c.Admin.Password, "admin.password", p)
	c.resolve(&c.Admin.Token, "admin.token", p)
	c.resolve(&c.Admin.MasterKey, "admin.master_key", p)
	for i := range c.Apps {
		a := &c.Apps[i]
		name := fmt.Sprintf("apps[%d]", i)
		c.resolve(&a.Key, name+".key", p)
		for j := range a.Secrets {
			c.resolve(&a.Secrets[j], fmt.Sprintf("%s.secrets[%d]", name, j), p)
		}
		for j := range a.PublishKeys {
			c.resolve(&a.PublishKeys[j], fmt.Sprintf("%s.publish_keys[%d]", name, j), p)
		}
		for j := range a.SigningKeys {
			c.resolve(&a.SigningKeys[j].Key, fmt.Sprintf("%s.signing_keys[%d].key", name, j), p)
		}
		for j := range a.AccessKeys {
			c.resolve(&a.AccessKeys[j].Secret, fmt.Sprintf("%s.access_keys[%d].secret", name, j), p)
		}
		for j := range a.Webhooks {
			for k := range a.Webhooks[j].Secrets {
				c.resolve(&a.Webhooks[j].Secrets[k], fmt.Sprintf("%s.webhooks[%d].secrets[%d]", name, j, k), p)
			}
		}
		c.resolveGateways(a, name, p)
	}
}

func (c *Config) resolve(s *Secret, name string, p *Problems) {
	if file, ok := strings.CutPrefix(string(*s), "file:"); ok {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(c.path), file)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			p.add("%s: %v", name, err)
			return
		}
		*s = Secret(strings.TrimRight(string(text), "\r\n"))
		return
	}
	if variable, ok := strings.CutPrefix(string(*s), "env:"); ok {
		text, ok := c.env.lookup(variable)
		if !ok {
			p.add("%s: the variable %s is not set", name, variable)
			return
		}
		*s = Secret(text)
	}
}

// Section returns what fills a protocol's own settings from its section, and
// from EARSHOT_PROTOCOLS_NAME_FIELD. The settings are a pointer to a struct
// with toml tags.
func (c *Config) Section(name string) func(any) error {
	return func(into any) error {
		v := reflect.ValueOf(into)
		if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
			return fmt.Errorf("the settings of %s are not a pointer to a struct", name)
		}
		var p Problems
		fillTable(v.Elem(), c.Protocols[name], "protocols."+name, &p)
		readVariables(v.Elem(), "EARSHOT_PROTOCOLS_"+strings.ToUpper(name)+"_", c.env, &p)
		return p.or()
	}
}
