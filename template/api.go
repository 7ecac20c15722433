package template

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/earshot-io/earshot"
)

// gateways makes the WebSocket APIs.
func (s *stack) gateways() []earshot.Gateway {
	var all []earshot.Gateway
	hosts := map[string]string{}
	for _, r := range s.all(typeAPI) {
		if g := s.gateway(r); g != nil {
			s.domains(r, g, hosts)
			s.manage(g)
			all = append(all, *g)
		}
	}
	s.orphans()
	s.strays(all)
	return all
}

// manage has events name the API's own host, as on AWS where no custom domain is
// used: functions that run here reach the management API by it. Those elsewhere
// would reach AWS, and Node.js does not look at proxies.
func (s *stack) manage(g *earshot.Gateway) {
	elsewhere := func(f earshot.GatewayFunction) bool {
		return f.Endpoint != "" || len(f.Command) > 0 && f.Command[0] == nodeRunner
	}
	if len(g.Hosts) == 0 && len(g.Functions) > 0 && !slices.ContainsFunc(g.Functions, elsewhere) {
		suffix, _ := s.pseudo("AWS::URLSuffix")
		g.ManagementDomain = g.ID + ".execute-api." + s.Region + "." + suffix.text
	}
}

// orphans tells of what belongs to no API of the template.
func (s *stack) orphans() {
	apis := s.all(typeAPI)
	for _, r := range s.all(typeStage, typeRoute, typeIntegration, typeAuthorizer) {
		if !slices.ContainsFunc(apis, func(api *resource) bool { return s.belongs(r, api) }) {
			s.find(r, "Its API is not in the template: it is left out.")
		}
	}
}

// gateway makes one; nil if it is no WebSocket API.
func (s *stack) gateway(r *resource) *earshot.Gateway {
	p := s.reader(r)
	if t := p.text("ProtocolType"); t != "WEBSOCKET" {
		p.find("An API of the type %q is no WebSocket API, and is left out with its routes.", t)
		return nil
	}
	id, err := s.ref(r.name)
	if err != nil {
		p.fail("Ref", err)
		return nil
	}
	g := &earshot.Gateway{
		ID: id.text, Name: p.text("Name"), RouteSelection: p.needed("RouteSelectionExpression"), APIKeySelection: p.text("ApiKeySelectionExpression"),
		Region: s.Region, Account: s.Account,
	}
	p.without("Description", "Tags", "Version", "DisableSchemaValidation", "IpAddressType", "FailOnWarnings", "BasePath")
	p.out("DisableExecuteApiEndpoint", "The API is reached by its default host, too.")
	for _, name := range []string{"Body", "BodyS3Location"} {
		p.out(name, "An OpenAPI document is not read.")
	}
	p.rest()
	s.parts(r, g)
	if len(g.Stages) == 0 {
		p.fail("Stage", fmt.Errorf("the API has none, so nobody could connect"))
	}
	return g
}

// parts adds what belongs to the API, and what that calls.
func (s *stack) parts(r *resource, g *earshot.Gateway) {
	for _, part := range s.all(typeStage, typeRoute, typeIntegration, typeAuthorizer) {
		if !s.belongs(part, r) {
			continue
		}
		p := s.reader(part)
		p.without("ApiId")
		switch part.kind {
		case typeStage:
			g.Stages = append(g.Stages, s.stage(p))
		case typeRoute:
			g.Routes = append(g.Routes, s.route(p))
		case typeIntegration:
			g.Integrations = append(g.Integrations, s.integration(p))
		case typeAuthorizer:
			g.Authorizers = append(g.Authorizers, s.authorizer(p))
		}
		p.rest()
	}
	s.settings(r, g)
	s.keys(r, g)
	s.functions(g)
}

// settings leaves out limits of routes that there are not.
func (s *stack) settings(r *resource, g *earshot.Gateway) {
	for _, stage := range g.Stages {
		for _, key := range sortedKeys(stage.Routes) {
			if !slices.ContainsFunc(g.Routes, func(route earshot.GatewayRoute) bool { return route.Key == key }) {
				s.find(r, "The stage %s limits the route %s, which there is not.", stage.Name, key)
				delete(stage.Routes, key)
			}
		}
	}
}

func (s *stack) stage(p *reader) earshot.GatewayStage {
	made := earshot.GatewayStage{Name: p.needed("StageName"), Variables: p.table("StageVariables")}
	if d := p.object("DefaultRouteSettings"); d != nil {
		made.Default = p.throttle("DefaultRouteSettings", d)
	}
	if routes := p.object("RouteSettings"); routes != nil {
		for _, key := range routes.keys {
			if made.Routes == nil {
				made.Routes = map[string]earshot.GatewayThrottle{}
			}
			made.Routes[key] = p.throttle("RouteSettings."+key, routes.members[key])
		}
	}
	p.without("AutoDeploy", "DeploymentId", "Description", "Tags", "AccessPolicyId")
	p.out("AccessLogSettings", "No access log is written.")
	p.out("ClientCertificateId", "No client certificate is shown to integrations.")
	return made
}

// throttle reads the limits of a stage, a route or a usage plan.
func (p *reader) throttle(property string, n *node) earshot.GatewayThrottle {
	var made earshot.GatewayThrottle
	for _, names := range [][2]string{{"ThrottlingRateLimit", "ThrottlingBurstLimit"}, {"RateLimit", "BurstLimit"}} {
		if v := n.member(names[0]); v != nil {
			rate, err := strconv.ParseFloat(v.text, 64)
			if err != nil {
				p.fail(property+"."+names[0], fmt.Errorf("%q is not a number", v.text))
			}
			if rate == 0 {
				p.find("%s.%s is 0, which lets nothing through on AWS and everything here.", property, names[0])
			}
			made.Rate = rate
		}
		if v := n.member(names[1]); v != nil {
			burst, err := strconv.Atoi(v.text)
			if err != nil {
				p.fail(property+"."+names[1], fmt.Errorf("%q is not a whole number", v.text))
			}
			made.Burst = burst
		}
	}
	return made
}

func (s *stack) route(p *reader) earshot.GatewayRoute {
	made := earshot.GatewayRoute{
		Key: p.needed("RouteKey"), Target: p.text("Target"), AuthorizationType: p.text("AuthorizationType"), AuthorizerID: p.text("AuthorizerId"),
		APIKeyRequired: p.flag("ApiKeyRequired"),
	}
	if made.Key != "$connect" && (made.APIKeyRequired || made.AuthorizationType != "" && made.AuthorizationType != "NONE") {
		p.find("Only $connect can be authorized: AuthorizationType and ApiKeyRequired are left out.")
		made.AuthorizationType, made.AuthorizerID, made.APIKeyRequired = "", "", false
	}
	if made.AuthorizationType != "CUSTOM" {
		made.AuthorizerID = "" // means nothing
	}
	s.routeResponse(p, &made)
	p.without("OperationName")
	p.out("RequestParameters", "Parameters are not required here.")
	p.out("RequestModels", "Request models are out: messages are not validated.")
	p.without("ModelSelectionExpression")
	p.out("AuthorizationScopes", "They are for JWT authorizers, which WebSocket APIs do not have.")
	return made
}

// routeResponse has what the integration answers sent to the client if both the
// route and a RouteResponse of it say so (7.6).
func (s *stack) routeResponse(p *reader, made *earshot.GatewayRoute) {
	expression := p.text("RouteResponseSelectionExpression")
	var response *resource
	for _, r := range s.all(typeRouteAnswer) {
		if of, err := s.given(r, "RouteId", ""); err == nil && of == p.r.name {
			response = r
		}
	}
	switch {
	case response == nil && expression != "":
		p.find("There is no %s of it: what its integration answers does not go to the client, as on AWS.", typeRouteAnswer)
	case response != nil && expression == "":
		p.find("It has no RouteResponseSelectionExpression: what its integration answers does not go to the client, as on AWS.")
	case response != nil:
		made.RouteResponse = expression
		q := s.reader(response)
		q.without("ApiId", "RouteId", "ModelSelectionExpression", "ResponseModels", "ResponseParameters")
		if key := q.needed("RouteResponseKey"); key != "" && key != "$default" {
			q.fail("RouteResponseKey", fmt.Errorf("%q is not $default", key))
		}
		q.rest()
	}
}

func (s *stack) authorizer(p *reader) earshot.GatewayAuthorizer {
	made := earshot.GatewayAuthorizer{ID: p.r.name, URI: p.text("AuthorizerUri"), IdentitySource: p.list("IdentitySource")}
	if t := p.needed("AuthorizerType"); t != "" && t != "REQUEST" {
		p.fail("AuthorizerType", fmt.Errorf("%q is not REQUEST, and WebSocket APIs have no other", t))
	}
	p.without("Name", "AuthorizerCredentialsArn", "AuthorizerPayloadFormatVersion")
	p.out("AuthorizerResultTtlInSeconds", "What it answers is not kept: it is asked for each connection.")
	p.out("EnableSimpleResponses", "It is for HTTP APIs: a policy is expected.")
	p.out("IdentityValidationExpression", "It is not looked at.")
	p.out("JwtConfiguration", "WebSocket APIs have no JWT authorizers.")
	return made
}

// first is the stage of who names none: $default, else the first.
func first(stages []earshot.GatewayStage) string {
	if slices.ContainsFunc(stages, func(s earshot.GatewayStage) bool { return s.Name == "$default" }) {
		return "$default"
	}
	for _, s := range stages {
		return s.Name
	}
	return ""
}

// domains adds the custom domains that are mapped to an API.
func (s *stack) domains(r *resource, g *earshot.Gateway, taken map[string]string) {
	for _, m := range s.all(typeMapping) {
		if !s.belongs(m, r) {
			continue
		}
		p := s.reader(m)
		p.without("ApiId")
		host, stage, path := p.needed("DomainName"), p.needed("Stage"), p.text("ApiMappingKey")
		if other, ok := taken[host]; ok && other != g.ID {
			p.find("The domain %s is another API's already: reach this one by its id.", host)
			continue
		}
		if !slices.Contains(g.Hosts, host) {
			g.Hosts = append(g.Hosts, host)
		}
		taken[host] = g.ID
		if path != stage && (path != "" || stage != first(g.Stages)) {
			p.find("Under its domain the path is the stage, too: connect to wss://%s/%s instead of wss://%s/%s.", host, stage, host, path)
		}
		p.rest()
	}
}
