package gateway

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/earshot-io/earshot"
)

// A Problem is something of an API that cannot be meant. Path says where, in the
// names of its JSON, as in routes[1].routeKey; Text says what, and holds no secret.
type Problem struct{ Path, Text string }

// Problems are all that is wrong with an API.
type Problems []Problem

// Error returns a line for each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Path + ": " + one.Text
	}
	return strings.Join(lines, "\n")
}

// Check reports, as Problems, everything of an API that cannot be meant; nil for
// nothing. Whether its id and hosts are another's is not asked.
func Check(g *earshot.Gateway) error {
	c := &checker{api: g, integrations: map[string]bool{}, authorizers: map[string]bool{}, functions: map[string]bool{}, keys: map[string]bool{}}
	c.names()
	c.declare()
	for i := range g.Stages {
		c.stage(fmt.Sprintf("stages[%d]", i), &g.Stages[i])
	}
	for i := range g.Routes {
		c.route(fmt.Sprintf("routes[%d]", i), &g.Routes[i])
	}
	for i := range g.Integrations {
		c.integration(fmt.Sprintf("integrations[%d]", i), &g.Integrations[i])
	}
	for i := range g.Authorizers {
		c.authorizer(fmt.Sprintf("authorizers[%d]", i), &g.Authorizers[i])
	}
	for i := range g.Functions {
		c.function(fmt.Sprintf("functions[%d]", i), &g.Functions[i])
	}
	c.apiKeys()
	if len(c.found) == 0 {
		c.compiled()
	}
	if len(c.found) == 0 {
		return nil
	}
	return c.found
}

// compiled asks, where nothing else is wrong, for what only Compile finds.
func (c *checker) compiled() {
	if _, err := Compile(c.api); err != nil {
		c.add("routes", "%v", err)
	}
}

// A checker gathers problems, and knows what can be referred to.
type checker struct {
	api                                        *earshot.Gateway
	found                                      Problems
	integrations, authorizers, functions, keys map[string]bool
}

func (c *checker) add(path, format string, args ...any) {
	c.found = append(c.found, Problem{path, fmt.Sprintf(format, args...)})
}

// once adds a name to those that there are, or a problem if it is there already.
func (c *checker) once(names map[string]bool, path, name string) {
	if names[name] {
		c.add(path, "%q stands there twice", name)
	}
	names[name] = true
}

// What names look like. Stages may be called $default, as public examples do.
var (
	idName       = regexp.MustCompile(`^[a-z0-9]{1,32}$`)
	hostName     = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	stageName    = regexp.MustCompile(`^([A-Za-z0-9_-]{1,128}|\$default)$`)
	variableName = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)
	variableText = regexp.MustCompile(`^[A-Za-z0-9\-._~:/?#&=,]{1,512}$`)
	envName      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	httpToken    = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	regionName   = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	accountName  = regexp.MustCompile(`^[0-9]{12}$`)
)

func (c *checker) names() {
	g := c.api
	if !idName.MatchString(g.ID) {
		c.add("id", "%q is not 1 to 32 of a-z and 0-9", g.ID)
	}
	hosts := map[string]bool{}
	for i, h := range g.Hosts {
		path := fmt.Sprintf("hosts[%d]", i)
		if !hostName.MatchString(h) {
			c.add(path, "%q is not a host name in lower case, without a port", h)
		}
		c.once(hosts, path, h)
	}
	if _, err := parseExpression(g.RouteSelection); err != nil {
		c.add("routeSelectionExpression", "%v; $request.body.action is one that can be meant", err)
	}
	switch g.APIKeySelection {
	case "", "$request.header.x-api-key", "$context.authorizer.usageIdentifierKey":
	default:
		c.add("apiKeySelectionExpression", "%q is neither $request.header.x-api-key nor $context.authorizer.usageIdentifierKey", g.APIKeySelection)
	}
	if g.Region != "" && !regionName.MatchString(g.Region) {
		c.add("region", "%q is not the name of a region such as us-east-1", g.Region)
	}
	if g.Account != "" && !accountName.MatchString(g.Account) {
		c.add("account", "%q is not 12 digits", g.Account)
	}
	if g.ManagementDomain != "" && !domain(g.ManagementDomain) {
		c.add("managementDomain", "%q is not a host, perhaps with a port", g.ManagementDomain)
	}
	for i, s := range g.Subprotocols {
		if !httpToken.MatchString(s) {
			c.add(fmt.Sprintf("subprotocols[%d]", i), "%q is not the name of a subprotocol", s)
		}
	}
	if len(g.Stages) == 0 {
		c.add("stages", "there is none, so nobody could connect")
	}
	if err := checkSize(g); err != nil {
		c.add("stages", "%v", err)
	}
}

// domain reports whether s is a host with or without a port.
func domain(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return hostName.MatchString(strings.ToLower(s)) || net.ParseIP(strings.Trim(s, "[]")) != nil
	}
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && n < 65536 && (hostName.MatchString(strings.ToLower(host)) || net.ParseIP(host) != nil)
}

// declare gathers the names that others refer to.
func (c *checker) declare() {
	for i := range c.api.Integrations {
		c.once(c.integrations, fmt.Sprintf("integrations[%d].integrationId", i), c.api.Integrations[i].ID)
	}
	for i := range c.api.Authorizers {
		c.once(c.authorizers, fmt.Sprintf("authorizers[%d].authorizerId", i), c.api.Authorizers[i].ID)
	}
	for i := range c.api.Functions {
		c.once(c.functions, fmt.Sprintf("functions[%d].functionName", i), c.api.Functions[i].Name)
	}
	for i := range c.api.Routes {
		c.once(c.keys, fmt.Sprintf("routes[%d].routeKey", i), c.api.Routes[i].Key)
	}
	stages := map[string]bool{}
	for i := range c.api.Stages {
		c.once(stages, fmt.Sprintf("stages[%d].stageName", i), c.api.Stages[i].Name)
	}
}

func (c *checker) stage(path string, s *earshot.GatewayStage) {
	if !stageName.MatchString(s.Name) {
		c.add(path+".stageName", "%q is not 1 to 128 letters, digits, - and _", s.Name)
	}
	for name, value := range sorted(s.Variables) {
		switch {
		case !variableName.MatchString(name):
			c.add(path+".stageVariables", "%q is not 1 to 64 letters, digits and _", name)
		case !variableText.MatchString(value):
			c.add(path+".stageVariables."+name, "the value is not 1 to 512 of letters, digits and -._~:/?#&=,")
		}
	}
	c.throttle(path+".defaultRouteSettings", s.Default)
	for key, t := range sorted(s.Routes) {
		at := fmt.Sprintf("%s.routeSettings[%q]", path, key)
		if !c.keys[key] {
			c.add(at, "there is no such route")
		}
		c.throttle(at, t)
	}
}

func (c *checker) throttle(path string, t earshot.GatewayThrottle) {
	if t.Rate < 0 || math.IsNaN(t.Rate) || math.IsInf(t.Rate, 0) {
		c.add(path+".throttlingRateLimit", "it is a number from 0")
	}
	if t.Burst < 0 {
		c.add(path+".throttlingBurstLimit", "it is a number from 0")
	}
}

func (c *checker) route(path string, r *earshot.GatewayRoute) {
	switch {
	case r.Key == "" || len(r.Key) > 128:
		c.add(path+".routeKey", "it has 1 to 128 characters")
	case strings.HasPrefix(r.Key, "$") && r.Key != ConnectRoute && r.Key != DisconnectRoute && r.Key != DefaultRoute:
		c.add(path+".routeKey", "%q: of those that begin with $ there are $connect, $disconnect and $default", r.Key)
	}
	if id, ok := strings.CutPrefix(r.Target, "integrations/"); r.Target != "" && (!ok || !c.integrations[id]) {
		c.add(path+".target", `%q is not "integrations/" and the integrationId of one that there is`, r.Target)
	}
	if r.RouteResponse != "" && r.RouteResponse != DefaultRoute {
		c.add(path+".routeResponseSelectionExpression", "%q is not $default", r.RouteResponse)
	}
	c.authorization(path, r)
}

// authorization is of $connect alone: the others are reached by who is in (8.1).
func (c *checker) authorization(path string, r *earshot.GatewayRoute) {
	switch r.AuthorizationType {
	case "", "NONE", "AWS_IAM":
		if r.AuthorizerID != "" {
			c.add(path+".authorizerId", "it needs the authorizationType CUSTOM")
		}
	case "CUSTOM":
		if !c.authorizers[r.AuthorizerID] {
			c.add(path+".authorizerId", "there is no authorizer %q", r.AuthorizerID)
		}
	default:
		c.add(path+".authorizationType", "%q is not NONE, CUSTOM or AWS_IAM", r.AuthorizationType)
	}
	if r.Key == ConnectRoute {
		return
	}
	if r.AuthorizationType != "" && r.AuthorizationType != "NONE" {
		c.add(path+".authorizationType", "only $connect can be authorized")
	}
	if r.APIKeyRequired {
		c.add(path+".apiKeyRequired", "only $connect can ask for an API key")
	}
}

func (c *checker) integration(path string, i *earshot.GatewayIntegration) {
	if i.ID == "" || len(i.ID) > 128 || strings.ContainsAny(i.ID, "/ ") {
		c.add(path+".integrationId", "%q is not 1 to 128 characters without / and blanks", i.ID)
	}
	if i.TimeoutMillis != 0 && (i.TimeoutMillis < 50 || i.TimeoutMillis > 29000) {
		c.add(path+".timeoutInMillis", "it is 50 to 29000")
	}
	if i.Concurrency < 0 || i.Concurrency > 1_000_000 {
		c.add(path+".concurrency", "it is 0 to 1000000")
	}
	if i.Asynchronous && i.Type != earshot.AWSProxy {
		c.add(path+".asynchronous", "it is for AWS_PROXY")
	}
	switch i.Type {
	case earshot.AWSProxy:
		c.functionOf(path+".integrationUri", i.URI)
	case earshot.HTTPProxy, earshot.HTTPPlain:
		c.address(path+".integrationUri", i.URI)
		if !httpToken.MatchString(i.Method) {
			c.add(path+".integrationMethod", "%q is not a method such as POST", i.Method)
		}
	case earshot.HTTPEvent:
		c.address(path+".integrationUri", i.URI)
	case earshot.Mock:
	default:
		c.add(path+".integrationType", "%q is not AWS_PROXY, HTTP_PROXY, HTTP, MOCK or HTTP_EVENT", i.Type)
	}
	c.mapping(path, i)
	c.responses(path, i)
}

// mapping checks the parameter mapping (7.3).
func (c *checker) mapping(path string, i *earshot.GatewayIntegration) {
	if len(i.RequestParameters) > 0 && i.Type != earshot.HTTPProxy && i.Type != earshot.HTTPPlain {
		c.add(path+".requestParameters", "they are for HTTP_PROXY and HTTP")
		return
	}
	for target, source := range sorted(i.RequestParameters) {
		at := fmt.Sprintf("%s.requestParameters[%q]", path, target)
		rest, ok := strings.CutPrefix(target, "integration.request.")
		where, name, _ := strings.Cut(rest, ".")
		if !ok || name == "" || where != "header" && where != "querystring" && where != "path" {
			c.add(at, "it is not integration.request. with header, querystring or path, and a name")
		}
		if where == "header" && !httpToken.MatchString(name) {
			c.add(at, "%q is not the name of a header", name)
		}
		if !parameterSource(source) {
			c.add(at, "%q is not route.request. with header, querystring, multivalueheader, multivaluequerystring or body and a name, context.NAME, stageVariables.NAME or a text in ' '", source)
		}
	}
}

func parameterSource(s string) bool {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return true
	}
	for _, prefix := range []string{
		"route.request.header.", "route.request.querystring.", "route.request.multivalueheader.", "route.request.multivaluequerystring.",
		"route.request.body.", "context.", "stageVariables.",
	} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest != ""
		}
	}
	return s == "route.request.body"
}

func (c *checker) responses(path string, i *earshot.GatewayIntegration) {
	if len(i.Responses) > 0 && i.Type != earshot.HTTPPlain && i.Type != earshot.Mock {
		c.add(path+".responses", "they are for HTTP and MOCK")
	}
	seen := map[string]bool{}
	for j, r := range i.Responses {
		at := fmt.Sprintf("%s.responses[%d]", path, j)
		c.once(seen, at+".integrationResponseKey", r.Key)
		if r.Key != DefaultRoute {
			text := strings.Trim(r.Key, "/")
			if _, err := statusPattern(r.Key); err != nil || r.Key != "/"+text+"/" {
				c.add(at+".integrationResponseKey", "%q is neither $default nor a regular expression such as /2\\d\\d/", r.Key)
			}
		}
		if r.Status != 0 && (r.Status < 100 || r.Status > 599) {
			c.add(at+".statusCode", "it is 100 to 599")
		}
	}
}

// functionOf checks that a function is there, in every stage: its name may depend
// on stage variables.
func (c *checker) functionOf(path, uri string) {
	c.inStages(path, uri, func(uri, where string) {
		name, ok := FunctionName(uri)
		switch {
		case !ok:
			c.add(path, "%q%s is not the ARN or name of a function", uri, where)
		case !c.functions[name]:
			c.add(path, "there is no function %q%s", name, where)
		}
	})
}

func (c *checker) address(path, uri string) {
	c.inStages(path, uri, func(uri, where string) {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
			c.add(path, "%q%s is not an address such as https://example.com/path", uri, where)
		}
	})
}

// maxURI is how long an address or ARN may be.
const maxURI = 4096

// inStages calls f with the text as each stage has it; a text without stage
// variables is the same in all.
func (c *checker) inStages(path, text string, f func(text, where string)) {
	if len(text) > maxURI {
		c.add(path, "it is longer than %d bytes", maxURI)
		return
	}
	if !strings.Contains(text, "${") {
		f(text, "")
		return
	}
	for i := range c.api.Stages {
		s := &c.api.Stages[i]
		f(variables.ReplaceAllStringFunc(text, func(ref string) string {
			name := variables.FindStringSubmatch(ref)[1]
			value, ok := s.Variables[name]
			if !ok {
				c.add(path, "the stage %q has no variable %q", s.Name, name)
			}
			return cmp.Or(value, "x")
		}), fmt.Sprintf(" (stage %q)", s.Name))
	}
}

var variables = regexp.MustCompile(`\$\{stageVariables\.([^}]*)\}`)

func (c *checker) authorizer(path string, a *earshot.GatewayAuthorizer) {
	if a.ID == "" {
		c.add(path+".authorizerId", "it is missing")
	}
	if strings.HasPrefix(a.URI, "http://") || strings.HasPrefix(a.URI, "https://") {
		c.address(path+".authorizerUri", a.URI)
	} else {
		c.functionOf(path+".authorizerUri", a.URI)
	}
	for i, s := range a.IdentitySource {
		if !identitySource(s) {
			c.add(fmt.Sprintf("%s.identitySource[%d]", path, i), "%q is not route.request.header.NAME, route.request.querystring.NAME, context.NAME or stageVariables.NAME", s)
		}
	}
}

// identitySource takes HTTP APIs' spelling too (8.3).
func identitySource(s string) bool {
	for _, prefix := range []string{
		"route.request.header.", "route.request.querystring.", "$request.header.", "$request.querystring.",
		"context.", "$context.", "stageVariables.", "$stageVariables.",
	} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest != ""
		}
	}
	return false
}

func (c *checker) function(path string, f *earshot.GatewayFunction) {
	if !isFunctionName(f.Name) {
		c.add(path+".functionName", "%q is not 1 to 140 letters, digits, - and _", f.Name)
	}
	ways := 0
	for _, there := range []bool{len(f.Command) > 0, f.Source != "", f.Endpoint != ""} {
		if there {
			ways++
		}
	}
	if ways != 1 {
		c.add(path, "it needs one of command, source and endpoint")
	}
	if len(f.Command) > 0 && f.Command[0] == "" {
		c.add(path+".command", "it names no program")
	}
	if f.Endpoint != "" {
		c.address(path+".endpoint", f.Endpoint)
	}
	if f.AccessKey != nil && (f.AccessKey.ID == "" || f.AccessKey.Secret == "" || f.Endpoint == "") {
		c.add(path+".accessKey", "it needs an id and a secret, and is for an endpoint")
	}
	for name, value := range sorted(f.Environment) {
		if !envName.MatchString(name) || strings.ContainsRune(value, 0) {
			c.add(path+".environment", "%q cannot be a variable, or its value has a zero byte", name)
		}
	}
	c.bounds(path, f)
}

func (c *checker) bounds(path string, f *earshot.GatewayFunction) {
	for _, b := range []struct {
		name      string
		value, to int
	}{{"timeout", f.TimeoutSeconds, 900}, {"memorySize", f.MemoryMB, 1 << 20}, {"copies", f.Copies, 1000}} {
		if b.value < 0 || b.value > b.to {
			c.add(path+"."+b.name, "it is 0 to %d", b.to)
		}
	}
}

// apiKeys checks their values as API Gateway does: 20 to 128 characters.
func (c *checker) apiKeys() {
	ids, values := map[string]bool{}, map[string]bool{}
	for i := range c.api.APIKeys {
		k := &c.api.APIKeys[i]
		path := fmt.Sprintf("apiKeys[%d]", i)
		if k.ID == "" {
			c.add(path+".id", "it is missing")
		}
		c.once(ids, path+".id", k.ID)
		if len(k.Value) < 20 || len(k.Value) > 128 {
			c.add(path+".value", "it has 20 to 128 characters")
		}
		if values[k.Value] {
			c.add(path+".value", "another key has it too")
		}
		values[k.Value] = true
		c.throttle(path+".throttle", k.Throttle)
	}
}
