package template

import (
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
)

// functions adds those that the API's integrations and authorizers call, and those
// that these name in their variables, to call them.
func (s *stack) functions(g *earshot.Gateway) {
	names := s.called(g)
	for i := 0; i < len(names); i++ {
		name := names[i]
		if r := s.functionNamed(name); r != nil {
			g.Functions = append(g.Functions, s.function(r, name))
			names = s.alsoInvoked(names)
			continue
		}
		f := earshot.GatewayFunction{Name: name, Endpoint: s.Endpoint}
		if s.Endpoint == "" {
			s.find(nil, "The function %s is not in the template: it is called at AWS Lambda. Give it an access_key_id and secret_access_key, or a source, a command or another endpoint.", name)
			f.Endpoint = s.lambda()
		}
		g.Functions = append(g.Functions, f)
	}
}

// alsoInvoked adds the functions that were invoked.
func (s *stack) alsoInvoked(names []string) []string {
	for _, resource := range s.invoked {
		if id, err := s.id(s.resources[resource]); err == nil && !slices.Contains(names, id) {
			names = append(names, id)
		}
	}
	return names
}

// called are the names of the functions that an API calls, in the order in which
// it names them; stage variables may name several.
func (s *stack) called(g *earshot.Gateway) []string {
	var names []string
	take := func(uri string) {
		for i := range g.Stages {
			n, err := s.made(staged(uri, func(name string) string { return g.Stages[i].Variables[name] }))
			if err != nil {
				s.fail(err)
				return
			}
			if name, ok := gateway.FunctionName(n.text); ok && !slices.Contains(names, name) {
				names = append(names, name)
			}
			if !strings.Contains(uri, "${") {
				return // it is the same in all stages
			}
		}
	}
	for _, a := range g.Authorizers {
		take(a.URI)
	}
	for _, i := range g.Integrations {
		if i.Type == earshot.AWSProxy {
			take(i.URI)
		}
	}
	return names
}

// staged puts values where stage variables stand.
func staged(uri string, value func(name string) string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(uri, "${stageVariables.")
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			b.WriteString(uri)
			return b.String()
		}
		b.WriteString(before + value(name))
		uri = after
	}
}

func (s *stack) functionNamed(name string) *resource {
	for _, r := range s.all(typeFunction, typeSAMFunction) {
		if id, err := s.id(r); err == nil && id == name {
			return r
		}
	}
	return nil
}

// lambda is AWS Lambda's address.
func (s *stack) lambda() string {
	suffix, _ := s.pseudo("AWS::URLSuffix")
	return "https://lambda." + s.Region + "." + suffix.text
}

// function makes one of the template's.
func (s *stack) function(r *resource, name string) earshot.GatewayFunction {
	p := s.reader(r)
	s.invoked = nil
	made := earshot.GatewayFunction{
		Name: name, Handler: p.text("Handler"), TimeoutSeconds: p.number("Timeout"), MemoryMB: p.number("MemorySize"), Copies: p.number("ReservedConcurrentExecutions"),
	}
	p.without(
		"FunctionName", "Description", "Role", "Policies", "PermissionsBoundary", "AssumeRolePolicyDocument", "RolePath", "Tags", "PropagateTags", "Tracing", "TracingConfig",
		"Architectures", "EphemeralStorage", "KmsKeyArn", "LoggingConfig", "AutoPublishAlias", "AutoPublishAliasAllProperties", "AutoPublishCodeSha256", "VersionDescription", "DeploymentPreference",
		"ProvisionedConcurrencyConfig", "SnapStart", "RuntimeManagementConfig", "VpcConfig", "RecursiveLoop", "EventInvokeConfig", "DeadLetterQueue", "DeadLetterConfig", "CodeSigningConfigArn",
		"VersionDeletionPolicy", "PublishToLatestPublished", "DurableConfig", "CapacityProviderConfig", "FunctionScalingConfig", "TenancyConfig", "SourceKMSKeyArn",
	)
	s.code(p, &made)
	p.without("Environment", "Layers", "FileSystemConfigs", "FunctionUrlConfig", "Events")
	if made.Endpoint == "" { // elsewhere it has all of this
		made.Environment = s.environment(p)
		p.out("Layers", "They are not there: the function has its own directory alone.")
		p.out("FileSystemConfigs", "No file system is mounted.")
		p.out("FunctionUrlConfig", "It has no address of its own here.")
		s.events(p)
	}
	p.rest()
	return made
}

// environment reads the variables, and tells of those that name what is not here.
func (s *stack) environment(p *reader) map[string]string {
	given := p.r.props.member("Environment")
	if given == nil {
		return nil
	}
	if _, _, call := given.call(); call {
		given = p.value("Environment")
	}
	variables := given.member("Variables")
	if variables == nil {
		return nil
	}
	if _, _, call := variables.call(); call {
		v, err := s.eval(variables)
		if err != nil {
			p.fail("Environment", err)
			return nil
		}
		variables = v
	}
	if variables.kind != object {
		p.fail("Environment.Variables", variables.expected("an object"))
		return nil
	}
	var all map[string]string
	for _, key := range variables.keys {
		if value, ok := s.variable(p, key, variables.members[key]); ok {
			if all == nil {
				all = map[string]string{}
			}
			all[key] = value
		}
	}
	return all
}

// variable evaluates one.
func (s *stack) variable(p *reader, key string, n *node) (value string, ok bool) {
	s.missed = nil
	v, err := s.eval(n)
	switch {
	case err != nil:
		p.fail("Environment."+key, err)
		return "", false
	case v == noValue || v.kind == null:
		return "", false
	case v.kind != text:
		p.fail("Environment."+key, v.expected("a text"))
		return "", false
	}
	for _, name := range s.missed {
		p.find("Its variable %s is %q, and %s (%s) is not made here: say what it is with --set %s=VALUE.", key, v.text, name, s.resources[name].kind, setName(n, name))
	}
	if strings.Contains(v.text, "{{resolve:") {
		p.find("Its variable %s is a value that AWS looks up ({{resolve:…}}): nothing does here.", key)
	}
	return v.text, true
}

// setName is what to set for a variable that is a Ref or GetAtt to a resource.
func setName(n *node, resource string) string {
	if name, argument, ok := n.call(); ok && name == "Fn::GetAtt" {
		if argument.kind == text {
			return argument.text
		}
		if all, err := texts(argument); err == nil {
			return strings.Join(all, ".")
		}
	}
	return resource
}

// events tells of what else calls a function of SAM.
func (s *stack) events(p *reader) {
	events := p.r.props.member("Events")
	if events == nil || events.kind != object {
		return
	}
	for _, name := range events.keys {
		kind := ""
		if t := events.members[name].member("Type"); t != nil {
			kind = t.text
		}
		p.find("Its event %s (%s) does not call it here.", name, kind)
	}
}

// strays tells of functions that no route calls: they are not run.
func (s *stack) strays(all []earshot.Gateway) {
	for _, r := range s.all(typeFunction, typeSAMFunction) {
		id, err := s.id(r)
		if err != nil {
			s.fail(err)
			continue
		}
		if !slices.ContainsFunc(all, func(g earshot.Gateway) bool {
			return slices.ContainsFunc(g.Functions, func(f earshot.GatewayFunction) bool { return f.Name == id })
		}) {
			s.find(r, "No route calls it, and no variable of a function that one calls names it: it is not run here.")
		}
	}
}
