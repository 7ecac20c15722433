package template

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
	"github.com/go-json-experiment/json"
)

// unknownIntegration is what an integration answers that is not known here.
const unknownIntegration = 501

// integration makes one. What is not known here refuses, instead of letting
// through what the integration would not have.
func (s *stack) integration(p *reader) earshot.GatewayIntegration {
	made := earshot.GatewayIntegration{ID: p.r.name, TimeoutMillis: p.number("TimeoutInMillis")}
	kind := p.needed("IntegrationType")
	uri, method, parameters := p.text("IntegrationUri"), p.text("IntegrationMethod"), p.table("RequestParameters")
	templates := p.object("RequestTemplates")
	p.without("CredentialsArn", "Description", "PassthroughBehavior", "TemplateSelectionExpression", "PayloadFormatVersion")
	p.transport()
	switch kind {
	case earshot.AWSProxy:
		if _, ok := gateway.FunctionName(staged(uri, func(string) string { return "x" })); !ok {
			return p.unknown(made, "It calls an AWS service, not a function")
		}
		made.Type, made.URI = kind, uri
		p.invocation(&made, parameters)
	case earshot.HTTPProxy, earshot.HTTPPlain:
		made.Type, made.URI, made.Method, made.RequestParameters = kind, uri, cmp.Or(method, "POST"), parameters
		if templates != nil && len(templates.keys) > 0 && kind == earshot.HTTPPlain {
			p.find("RequestTemplates: mapping templates (VTL) are out: the message goes to the integration as it is.")
		}
		if kind == earshot.HTTPPlain {
			made.Responses = s.responses(p.r, 0)
		}
	case earshot.Mock:
		made.Type = kind
		status, ok := mockStatus(templates)
		if !ok {
			return p.unknown(made, "None of its RequestTemplates is JSON with a number as statusCode and without VTL")
		}
		made.Responses = s.mockResponses(p.r, status)
	case "":
	default:
		return p.unknown(made, "Integrations of the type "+kind+", with mapping templates (VTL), are out")
	}
	return made
}

func (p *reader) unknown(made earshot.GatewayIntegration, why string) earshot.GatewayIntegration {
	p.find("%s: it answers %d here, which refuses $connect.", why, unknownIntegration)
	made.Type, made.URI, made.Method, made.RequestParameters = earshot.Mock, "", "", nil
	made.Responses = []earshot.GatewayResponse{{Key: "$default", Status: unknownIntegration}}
	return made
}

// transport reads how the integration is reached.
func (p *reader) transport() {
	if t := p.text("ConnectionType"); t != "" && t != "INTERNET" {
		p.find("ConnectionType %s: the address is called as it is, over no VPC link.", t)
	}
	p.without("ConnectionId")
	if t := p.text("ContentHandlingStrategy"); t != "" {
		p.find("ContentHandlingStrategy: contents are not converted.")
	}
	p.out("TlsConfig", "The certificate is checked for the host of the address.")
	p.out("IntegrationSubtype", "It is for HTTP APIs.")
	p.out("ResponseParameters", "It is for HTTP APIs.")
}

// invocation reads the one parameter that counts for functions.
func (p *reader) invocation(made *earshot.GatewayIntegration, parameters map[string]string) {
	for _, name := range sortedKeys(parameters) {
		if strings.EqualFold(name, "integration.request.header.X-Amz-Invocation-Type") && parameters[name] == "'Event'" {
			made.Asynchronous = true
			continue
		}
		p.find("RequestParameters.%s: a function is shown the event, and nothing is mapped.", name)
	}
}

// mockStatus finds the status that a MOCK's template gives.
func mockStatus(templates *node) (status int, ok bool) {
	if templates == nil {
		return 0, false
	}
	for _, key := range templates.keys {
		var t struct {
			StatusCode int `json:"statusCode"`
		}
		if err := json.Unmarshal([]byte(templates.members[key].text), &t); err == nil && t.StatusCode >= 100 && t.StatusCode < 600 {
			return t.StatusCode, true
		}
	}
	return 0, false
}

// mockResponses are what a MOCK answers: of the integration's responses, the one
// for its status, which it has in any case.
func (s *stack) mockResponses(r *resource, status int) []earshot.GatewayResponse {
	made := earshot.GatewayResponse{Key: "$default", Status: status}
	chosen := ""
	for _, a := range s.responses(r, status) {
		if chosen == "" || chosen == "$default" { // one for the status counts before $default
			chosen, made.Body = a.Key, a.Body
		}
	}
	return []earshot.GatewayResponse{made}
}

// responses reads the integration's responses; with a status, those for it only.
func (s *stack) responses(of *resource, status int) []earshot.GatewayResponse {
	var all []earshot.GatewayResponse
	for _, r := range s.all(typeIntAnswer) {
		if id, err := s.given(r, "IntegrationId", ""); err != nil || id != of.name {
			continue
		}
		p := s.reader(r)
		p.without("ApiId", "IntegrationId", "TemplateSelectionExpression", "ContentHandlingStrategy", "ResponseParameters")
		made := earshot.GatewayResponse{Key: p.needed("IntegrationResponseKey"), Body: p.body()}
		p.rest()
		if status == 0 || made.Key == "$default" || matches(made.Key, status) {
			all = append(all, made)
		}
	}
	return all
}

func matches(key string, status int) bool {
	pattern, err := regexp.Compile(strings.Trim(key, "/"))
	return err == nil && pattern.MatchString(strconv.Itoa(status))
}

// body is the fixed text of a response's template; nil for none.
func (p *reader) body() *string {
	templates := p.object("ResponseTemplates")
	if templates == nil {
		return nil
	}
	for _, key := range templates.keys {
		if t := templates.members[key].text; !strings.ContainsAny(t, "$#") {
			return &t
		}
	}
	if len(templates.keys) > 0 {
		p.find("ResponseTemplates: mapping templates (VTL) are out: the answer goes on as it is.")
	}
	return nil
}
