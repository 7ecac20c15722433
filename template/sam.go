package template

import (
	"fmt"
	"strings"
)

// withGlobals merges what SAM's Globals say for a kind of resource under the
// properties of one: objects member by member, lists one behind the other, and for
// the rest the resource's own counts.
func (s *stack) withGlobals(kind string, props *node) *node {
	globals := s.root.member("Globals").member(kind)
	if globals == nil || globals.kind != object {
		return props
	}
	return merged(globals, props)
}

func merged(under, over *node) *node {
	_, _, call := over.call()
	_, _, callUnder := under.call()
	switch {
	case call || callUnder || under.kind != over.kind:
		return over
	case under.kind == list:
		return &node{kind: list, list: append(append([]*node{}, under.list...), over.list...), line: over.line}
	case under.kind == object:
		out := &node{kind: object, members: map[string]*node{}, line: over.line}
		for _, key := range under.keys {
			out.put(key, under.members[key])
		}
		for _, key := range over.keys {
			value := over.members[key]
			if below := under.members[key]; below != nil {
				value = merged(below, value)
			}
			out.put(key, value)
		}
		return out
	}
	return over
}

// expandWebSocket makes what SAM makes of an AWS::Serverless::WebSocketApi, under
// the same logical ids.
func (s *stack) expandWebSocket(r *resource) error {
	p := r.props
	own := func(names ...string) *node {
		n := objectNode()
		for _, name := range names {
			if v := p.member(name); v != nil {
				n.put(name, v)
			}
		}
		return n
	}
	api := own("Name", "Description", "RouteSelectionExpression", "ApiKeySelectionExpression", "DisableExecuteApiEndpoint", "DisableSchemaValidation", "IpAddressType", "Tags")
	api.put("ProtocolType", textNode("WEBSOCKET"))
	s.add(&resource{name: r.name, kind: typeAPI, props: api})

	stage := own("StageName", "StageVariables", "DefaultRouteSettings", "RouteSettings", "AccessLogSettings")
	stage.put("ApiId", objectNode("Ref", textNode(r.name)))
	stageID := r.name + "Stage"
	if name := p.member("StageName"); name == nil {
		stage.put("StageName", textNode("default"))
		stageID = r.name + "defaultStage"
	} else if name.kind == text {
		stageID = r.name + plain(name.text) + "Stage"
	}
	s.add(&resource{name: stageID, kind: typeStage, props: stage})
	if p.member("Models") != nil {
		s.find(r, "Request models are out: messages are not validated.")
	}
	if err := s.expandRoutes(r); err != nil {
		return err
	}
	if d := p.member("Domain"); d != nil {
		s.expandDomain(r, d, stageID)
	}
	return nil
}

// plain is what SAM makes of a name in a logical id: letters and digits.
func plain(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return -1
	}, name)
}

// expandRoutes makes a route and an integration for each of Routes. Auth is of
// $connect, which there is then in any case: nobody gets past it.
func (s *stack) expandRoutes(r *resource) error {
	routes := r.props.member("Routes")
	if routes == nil {
		routes = objectNode()
	}
	if routes.kind != object {
		return routes.expected("an object of Routes")
	}
	auth, err := s.expandAuth(r)
	if err != nil {
		return err
	}
	for _, key := range routes.keys {
		route := objectNode("ApiId", objectNode("Ref", textNode(r.name)), "RouteKey", textNode(key))
		given := routes.members[key]
		for _, name := range given.keys {
			switch name {
			case "FunctionArn", "IntegrationTimeout":
			default:
				route.put(name, given.members[name])
			}
		}
		integration := r.name + plain(key) + "Integration"
		if given.member("FunctionArn") == nil {
			return fmt.Errorf("the route %s has no FunctionArn", key)
		}
		s.add(&resource{name: integration, kind: typeIntegration, props: objectNode(
			"ApiId", objectNode("Ref", textNode(r.name)), "IntegrationType", textNode("AWS_PROXY"),
			"IntegrationUri", given.member("FunctionArn"), "TimeoutInMillis", given.member("IntegrationTimeout"),
		)})
		route.put("Target", textNode("integrations/"+integration))
		if key == "$connect" {
			route = merged(auth, route)
		}
		s.add(&resource{name: r.name + plain(key) + "Route", kind: typeRoute, props: route})
	}
	if len(auth.keys) > 0 && routes.members["$connect"] == nil {
		route := merged(auth, objectNode("ApiId", objectNode("Ref", textNode(r.name)), "RouteKey", textNode("$connect")))
		s.add(&resource{name: r.name + "connectRoute", kind: typeRoute, props: route})
	}
	return nil
}

// expandAuth makes the authorizer, and returns what $connect says of it.
func (s *stack) expandAuth(r *resource) (*node, error) {
	auth := r.props.member("Auth")
	if auth == nil {
		return objectNode(), nil
	}
	if auth.member("AuthType") == nil {
		return nil, fmt.Errorf("its Auth has no AuthType")
	}
	t, err := s.eval(auth.member("AuthType"))
	switch {
	case err != nil:
		return nil, err
	case t.text == "NONE":
		return objectNode(), nil
	case t.text != "CUSTOM":
		return objectNode("AuthorizationType", t), nil
	}
	name := r.name + "Authorizer"
	if n := auth.member("Name"); n != nil && plain(n.text) != "" {
		name = r.name + plain(n.text)
	}
	s.add(&resource{name: name, kind: typeAuthorizer, props: objectNode(
		"ApiId", objectNode("Ref", textNode(r.name)), "AuthorizerType", textNode("REQUEST"),
		"AuthorizerUri", auth.member("AuthArn"), "IdentitySource", auth.member("IdentitySource"),
	)})
	return objectNode("AuthorizationType", t, "AuthorizerId", textNode(name)), nil
}

func (s *stack) expandDomain(r *resource, d *node, stage string) {
	s.add(&resource{name: r.name + "Domain", kind: typeDomain, props: objectNode("DomainName", d.member("DomainName"))})
	paths := d.member("BasePath")
	if paths == nil || paths.kind != list {
		paths = listNode(paths)
	}
	for i, path := range paths.list {
		s.add(&resource{name: fmt.Sprintf("%sApiMapping%d", r.name, i), kind: typeMapping, props: objectNode(
			"ApiId", objectNode("Ref", textNode(r.name)), "DomainName", d.member("DomainName"), "Stage", objectNode("Ref", textNode(stage)), "ApiMappingKey", path,
		)})
	}
}
