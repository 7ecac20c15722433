package gateway

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// invokeAction is what a policy has to allow.
const invokeAction = "execute-api:invoke"

// A policy is an IAM policy document (8.4).
type policy []statement

type statement struct {
	allow              bool
	actions, resources []string
	// closed is a statement with something that is not understood: it allows
	// nothing, and denies whatever else of it fits.
	closed     bool
	conditions []condition
}

// A condition asks that the client's address is in one of the networks, or in
// none of them.
type condition struct {
	not      bool
	networks []netip.Prefix
}

// parsePolicy reads a policy document. It fails for one that is none; what it
// does not understand closes the statement.
func parsePolicy(document jsontext.Value) (policy, error) {
	var d struct {
		Statement jsontext.Value `json:"Statement"`
	}
	if document.Kind() != '{' {
		return nil, fmt.Errorf("policyDocument is missing, or no object")
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, err
	}
	all, err := oneOrMany[jsontext.Value](d.Statement, '{')
	if err != nil {
		return nil, fmt.Errorf("a policy has a Statement, which is an object or an array")
	}
	p := make(policy, 0, len(all))
	for _, one := range all {
		s, err := parseStatement(one)
		if err != nil {
			return nil, err
		}
		p = append(p, s)
	}
	return p, nil
}

// oneOrMany reads an array, or a single value of a kind as one.
func oneOrMany[T any](v jsontext.Value, single jsontext.Kind) (many []T, err error) {
	switch v.Kind() {
	case single:
		var one T
		err = json.Unmarshal(v, &one)
		return []T{one}, err
	case '[':
		err = json.Unmarshal(v, &many)
		return many, err
	}
	return nil, fmt.Errorf("it is missing, or of another type")
}

func parseStatement(v jsontext.Value) (s statement, err error) {
	members := map[string]jsontext.Value{}
	if v.Kind() != '{' {
		return s, fmt.Errorf("a statement is no object")
	}
	if err := json.Unmarshal(v, &members); err != nil {
		return s, err
	}
	for name, value := range members {
		switch name {
		case "Sid":
		case "Effect":
			switch string(value) {
			case `"Allow"`:
				s.allow = true
			case `"Deny"`:
			default:
				return s, fmt.Errorf("an Effect is Allow or Deny")
			}
		case "Action":
			s.actions, err = oneOrMany[string](value, '"')
		case "Resource":
			s.resources, err = oneOrMany[string](value, '"')
		case "Condition":
			s.conditions, s.closed = parseConditions(value, s.closed)
		default:
			s.closed = true
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, s.complete(members)
}

// complete asks for what every statement has. One that says NotAction or
// NotResource instead is closed, and is taken to be about everything.
func (s *statement) complete(members map[string]jsontext.Value) error {
	if members["Effect"] == nil {
		return fmt.Errorf("a statement has no Effect")
	}
	for _, of := range []struct {
		name string
		list *[]string
	}{{"Action", &s.actions}, {"Resource", &s.resources}} {
		switch {
		case members[of.name] != nil && members["Not"+of.name] == nil:
		case members["Not"+of.name] != nil:
			*of.list = []string{"*"}
		default:
			return fmt.Errorf("a statement has no %s", of.name)
		}
	}
	return nil
}

// parseConditions reads IpAddress and NotIpAddress of aws:SourceIp; whatever else
// there is closes the statement.
func parseConditions(v jsontext.Value, closed bool) ([]condition, bool) {
	var operators map[string]map[string]jsontext.Value
	if json.Unmarshal(v, &operators) != nil {
		return nil, true
	}
	var all []condition
	for operator, keys := range operators {
		for key, value := range keys {
			c := condition{not: operator == "NotIpAddress"}
			if !c.not && operator != "IpAddress" || !strings.EqualFold(key, "aws:SourceIp") {
				return nil, true
			}
			texts, err := oneOrMany[string](value, '"')
			if err != nil || len(texts) == 0 {
				return nil, true
			}
			for _, text := range texts {
				network, err := parseNetwork(text)
				if err != nil {
					return nil, true
				}
				c.networks = append(c.networks, network)
			}
			all = append(all, c)
		}
	}
	return all, closed
}

func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Prefix(a.BitLen())
}

// holds reports whether a condition is met. An address that is not known meets
// none.
func (c *condition) holds(from netip.Addr) bool {
	in := false
	for _, n := range c.networks {
		in = in || n.Contains(from)
	}
	return from.IsValid() && in != c.not
}

// allows decides about a resource: what is denied is not allowed, and neither is
// what no statement allows.
func (p policy) allows(resource, sourceIP string) bool {
	from, _ := netip.ParseAddr(sourceIP) // one that is none meets no condition
	from = from.Unmap().WithZone("")
	allowed := false
	for i := range p {
		s := &p[i]
		if !s.covers(resource) {
			continue
		}
		switch {
		case s.allow && !s.closed && s.met(from):
			allowed = true
		case !s.allow && (s.closed || !from.IsValid() || s.met(from)):
			return false
		}
	}
	return allowed
}

func (s *statement) met(from netip.Addr) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(from) {
			return false
		}
	}
	return true
}

func (s *statement) covers(resource string) bool {
	return anyGlobs(s.actions, invokeAction, strings.ToLower) && anyGlobs(s.resources, resource, strings.Clone)
}

func anyGlobs(patterns []string, text string, fold func(string) string) bool {
	for _, p := range patterns {
		if globs(fold(p), text) {
			return true
		}
	}
	return false
}
