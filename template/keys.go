package template

import (
	"crypto/rand"
	"errors"
	"strings"

	"github.com/earshot-io/earshot"
)

// keys adds the API keys of the usage plans that name the API.
func (s *stack) keys(api *resource, g *earshot.Gateway) {
	for _, plan := range s.all(typePlan) {
		p := s.reader(plan)
		p.without("UsagePlanName", "Description", "Tags")
		if !s.plans(p.value("ApiStages"), g.ID) {
			continue
		}
		var throttle earshot.GatewayThrottle
		if t := p.object("Throttle"); t != nil {
			throttle = p.throttle("Throttle", t)
		}
		p.out("Quota", "Quotas are not counted.")
		p.rest()
		s.planKeys(plan, g, throttle)
	}
	for _, r := range g.Routes {
		if r.APIKeyRequired && len(g.APIKeys) == 0 {
			s.find(api, "%s asks for an API key, and there is none for this API: nobody can connect.", r.Key)
		}
	}
}

// plans reports whether a usage plan is for an API.
func (s *stack) plans(stages *node, id string) bool {
	if stages == nil {
		return false
	}
	for _, n := range stages.list {
		if m := n.member("ApiId"); m != nil && m.text == id {
			return true
		}
	}
	return false
}

func (s *stack) planKeys(plan *resource, g *earshot.Gateway, throttle earshot.GatewayThrottle) {
	for _, link := range s.all(typePlanKey) {
		if of, err := s.given(link, "UsagePlanId", ""); err != nil || of != plan.name {
			continue
		}
		p := s.reader(link)
		p.without("UsagePlanId", "KeyType")
		id := p.needed("KeyId")
		p.rest()
		if key := s.resources[id]; key != nil && key.kind == typeKey {
			s.apiKey(key, g, throttle)
		} else if id != "" {
			s.find(link, "The key %s is not in the template: it is left out.", id)
		}
	}
}

func (s *stack) apiKey(r *resource, g *earshot.Gateway, throttle earshot.GatewayThrottle) {
	p := s.reader(r)
	p.without("Description", "GenerateDistinctId", "Name", "StageKeys", "Tags")
	value := p.text("Value")
	if p.r.props.member("Enabled") != nil && !p.flag("Enabled") {
		p.find("The key is not enabled: it is left out.")
		return
	}
	p.without("Enabled")
	if strings.HasPrefix(value, "file:") || strings.HasPrefix(value, "env:") {
		p.fail("Value", errors.New("a key does not begin with file: or env:, which would mean a file or variable in the settings"))
	}
	p.out("CustomerId", "It is for the AWS Marketplace.")
	p.rest()
	if value == "" {
		value = rand.Text()
		p.find("The template has no value for the key: one was drawn.")
	}
	g.APIKeys = append(g.APIKeys, earshot.GatewayKey{ID: r.name, Value: value, Throttle: throttle})
}
