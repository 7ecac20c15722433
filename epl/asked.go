package epl

import (
	"net/http"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/tenant"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/rivo/uniseg"
)

// A name has so many characters, as people count them (A.2).
const (
	leastName = 5
	mostName  = 255
)

// The texts of the original.
const (
	isBlank   = "can't be blank"
	isInvalid = "is invalid"
	isTaken   = "has already been taken"
	tooShort  = "should be at least 5 character(s)"
	tooLong   = "should be at most 255 character(s)"
)

var (
	errNameTaken = wrong(http.StatusUnprocessableEntity, "name", isTaken)
	errSlugTaken = wrong(http.StatusUnprocessableEntity, "slug", isTaken)
	errSlugBlank = wrong(http.StatusUnprocessableEntity, "slug", isBlank)
)

// An asked is what a request says that an app should be. What it does not say, or
// leaves empty, is zero.
type asked struct {
	name   string
	active *bool
	hosts  *[]string
	// wrong is what is wrong with each field.
	wrong map[string][]string
}

// readAsked reads the parameter app (A.4). It must be an object; what is wrong
// with its members is for err and forNew to say.
func readAsked(w http.ResponseWriter, r *http.Request) (*asked, error) {
	all, err := readParams(w, r)
	if err != nil {
		return nil, err
	}
	var app params
	if v := all["app"]; v.Kind() != '{' || json.Unmarshal(v, &app) != nil {
		return nil, errBadRequest
	}
	c := &asked{wrong: map[string][]string{}}
	c.readName(app["name"])
	c.readActive(app["active"])
	c.readHosts(app["hosts"], app["host"])
	return c, nil
}

// blank reports whether a member counts as one that is not there.
func blank(v jsontext.Value) bool {
	var text string
	switch v.Kind() {
	case '"':
		return json.Unmarshal(v, &text) == nil && strings.Trim(text, " ") == ""
	case 'n':
		return true
	}
	return len(v) == 0
}

func (c *asked) readName(v jsontext.Value) {
	if blank(v) {
		return
	}
	if v.Kind() != '"' || json.Unmarshal(v, &c.name) != nil {
		c.wrong["name"] = []string{isInvalid}
		return
	}
	switch n := uniseg.GraphemeClusterCount(c.name); {
	case strings.TrimSpace(c.name) == "":
		c.wrong["name"] = []string{isBlank}
	case n > mostName || len(c.name) > tenant.MaxName:
		c.wrong["name"] = []string{tooLong}
	case n < leastName:
		c.wrong["name"] = []string{tooShort}
	case !tenant.ValidName(c.name):
		c.wrong["name"] = []string{isInvalid}
	}
}

func (c *asked) readActive(v jsontext.Value) {
	if blank(v) {
		return
	}
	var yes bool
	var text string
	switch {
	case json.Unmarshal(v, &yes) == nil:
	case json.Unmarshal(v, &text) == nil && (text == "true" || text == "1"):
		yes = true
	case text == "false" || text == "0":
	default:
		c.wrong["active"] = []string{isInvalid}
		return
	}
	c.active = &yes
}

// readHosts reads the hosts whose pages may connect (A.10): a list, or one, each
// as it may stand in an app's origins, or the bare name of a host.
func (c *asked) readHosts(hosts, host jsontext.Value) {
	var all []string
	var one string
	switch {
	case !blank(hosts) && json.Unmarshal(hosts, &all) == nil:
	case !blank(hosts) && json.Unmarshal(hosts, &one) == nil:
		all = []string{one}
	case !blank(hosts):
		c.wrong["hosts"] = []string{isInvalid}
		return
	case blank(host):
		return
	case json.Unmarshal(host, &one) == nil:
		all = []string{one}
	default:
		c.wrong["host"] = []string{isInvalid}
		return
	}
	all = slices.DeleteFunc(all, func(s string) bool { return strings.Trim(s, " ") == "" })
	for i, s := range all {
		if !strings.Contains(s, "//") {
			all[i] = "//" + s
		}
		if !earshot.ValidOrigin(all[i]) {
			c.wrong["hosts"] = []string{isInvalid}
		}
	}
	c.hosts = &all
}

// err says what is wrong with the fields, nil for nothing.
func (c *asked) err() error {
	if len(c.wrong) == 0 {
		return nil
	}
	return &refusal{status: http.StatusUnprocessableEntity, detail: "the app is not valid", fields: c.wrong}
}

// forNew returns the slug of a new app, or what is wrong with it.
func (c *asked) forNew() (slug string, err error) {
	if c.name == "" && c.wrong["name"] == nil {
		c.wrong["name"] = []string{isBlank}
	}
	if err := c.err(); err != nil {
		return "", err
	}
	if slug = Slug(c.name); slug == "" {
		return "", errSlugBlank
	}
	return slug, nil
}
