package template

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// The types that mean something here.
const (
	typeAPI          = "AWS::ApiGatewayV2::Api"
	typeStage        = "AWS::ApiGatewayV2::Stage"
	typeRoute        = "AWS::ApiGatewayV2::Route"
	typeRouteAnswer  = "AWS::ApiGatewayV2::RouteResponse"
	typeIntegration  = "AWS::ApiGatewayV2::Integration"
	typeIntAnswer    = "AWS::ApiGatewayV2::IntegrationResponse"
	typeAuthorizer   = "AWS::ApiGatewayV2::Authorizer"
	typeDeployment   = "AWS::ApiGatewayV2::Deployment"
	typeDomain       = "AWS::ApiGatewayV2::DomainName"
	typeMapping      = "AWS::ApiGatewayV2::ApiMapping"
	typeModel        = "AWS::ApiGatewayV2::Model"
	typeFunction     = "AWS::Lambda::Function"
	typeAlias        = "AWS::Lambda::Alias"
	typeVersion      = "AWS::Lambda::Version"
	typeSAMFunction  = "AWS::Serverless::Function"
	typeSAMWebSocket = "AWS::Serverless::WebSocketApi"
	typeKey          = "AWS::ApiGateway::ApiKey"
	typePlan         = "AWS::ApiGateway::UsagePlan"
	typePlanKey      = "AWS::ApiGateway::UsagePlanKey"
)

// maxResources is twice what CloudFormation takes: SAM makes more of some.
const maxResources = 1000

// needless are types whose resources are done without, by the beginnings of their
// names: what they allow is allowed here, and what they keep is kept elsewhere.
var needless = []string{
	"AWS::IAM::", "AWS::Logs::", "AWS::CloudWatch::", "AWS::Lambda::Permission", "AWS::Lambda::EventInvokeConfig", "AWS::ApiGateway::Account",
	"AWS::CertificateManager::", "AWS::Route53::", "AWS::CloudFormation::WaitConditionHandle", "AWS::Serverless::Connector",
	"AWS::KMS::", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::CodeDeploy::", "AWS::Budgets::",
}

// readResources takes the resources that there are, as CloudFormation has them
// once SAM has made its own.
func (s *stack) readResources() {
	all := s.root.member("Resources")
	if all == nil || all.kind != object {
		s.fail(errors.New("the template has no Resources"))
		return
	}
	s.macros()
	for _, name := range all.keys {
		if err := s.readResource(name, all.members[name]); err != nil {
			s.fail(fmt.Errorf("%s: %w", name, err))
		}
	}
}

func (s *stack) readResource(name string, n *node) error {
	if strings.HasPrefix(name, "Fn::") {
		return errors.New("loops and includes are not carried out here: package the template with the AWS CLI first")
	}
	t := n.member("Type")
	if t == nil || t.kind != text {
		return errors.New("it has no Type")
	}
	if c := n.member("Condition"); c != nil {
		there, err := s.met(c.text)
		if err != nil {
			return err
		}
		if !there {
			s.absent[name] = true
			return nil
		}
	}
	props := n.member("Properties")
	if props == nil || props.kind == null {
		props = objectNode()
	}
	if props.kind != object {
		return props.expected("an object of Properties")
	}
	r := &resource{name: name, kind: t.text, props: props}
	if r.kind == typeSAMFunction || r.kind == typeSAMWebSocket {
		r.props = s.withGlobals(strings.TrimPrefix(r.kind, "AWS::Serverless::"), props)
	}
	if r.kind == typeSAMWebSocket {
		return s.expandWebSocket(r)
	}
	s.add(r)
	return nil
}

func (s *stack) add(r *resource) {
	if s.resources[r.name] != nil {
		s.fail(fmt.Errorf("%s: two resources have this logical id", r.name))
		return
	}
	if len(s.order) == maxResources {
		s.fail(fmt.Errorf("the template has more than %d resources", maxResources))
		return
	}
	s.resources[r.name] = r
	s.order = append(s.order, r.name)
}

// all returns the resources of a type in their order.
func (s *stack) all(kind ...string) []*resource {
	var found []*resource
	for _, name := range s.order {
		if r := s.resources[name]; slices.Contains(kind, r.kind) {
			found = append(found, r)
		}
	}
	return found
}

// ref is the function Ref.
func (s *stack) ref(name string) (*node, error) {
	if v := s.parameters[name]; v != nil {
		return v, nil
	}
	if v, ok := s.pseudo(name); ok {
		return v, nil
	}
	r, part, err := s.resource(name)
	if err != nil {
		return nil, err
	}
	if part != "" {
		return s.generated(r, part)
	}
	if v, ok := s.Set[name]; ok {
		return textNode(v), nil
	}
	s.refer(r)
	id, err := s.id(r)
	return textNode(id), err
}

// id is a resource's physical id. A name that it is given may depend on others,
// and not on itself.
func (s *stack) id(r *resource) (string, error) {
	if r.ref != nil {
		return *r.ref, nil
	}
	if r.busy {
		return "", fmt.Errorf("the name of %s depends on itself", r.name)
	}
	r.busy = true
	id, err := s.physical(r)
	r.busy = false
	if err == nil {
		r.ref = &id
	}
	return id, err
}

// resource finds one by its logical id, perhaps with what SAM generates for it
// behind a dot.
func (s *stack) resource(name string) (r *resource, part string, err error) {
	if r = s.resources[name]; r == nil {
		name, part, _ = strings.Cut(name, ".")
		r = s.resources[name]
	}
	if r == nil && s.absent[name] {
		return nil, "", fmt.Errorf("%s is referred to, and its condition is not met", name)
	}
	if r == nil {
		return nil, "", fmt.Errorf("there is no parameter or resource %q", name)
	}
	return r, part, nil
}

// generated is a Ref to what SAM makes for a resource.
func (s *stack) generated(r *resource, part string) (*node, error) {
	switch {
	case part == "Alias" && isFunction(r):
		alias, err := s.given(r, "AutoPublishAlias", "live")
		if err != nil {
			return nil, err
		}
		return s.qualified(r, alias)
	case part == "Version" && isFunction(r):
		return s.qualified(r, "1")
	case part == "Stage" && r.kind == typeAPI:
		for _, stage := range s.all(typeStage) {
			if s.belongs(stage, r) {
				return s.ref(stage.name)
			}
		}
	}
	return nil, fmt.Errorf("there is no resource %s.%s", r.name, part)
}

func isFunction(r *resource) bool { return r.kind == typeFunction || r.kind == typeSAMFunction }

// belongs reports whether a stage, route and so on is an API's.
func (s *stack) belongs(r, api *resource) bool {
	of := r.props.member("ApiId")
	if of == nil {
		return false
	}
	got, err := s.eval(of)
	if err != nil {
		return false // told where it is read
	}
	want, err := s.ref(api.name)
	return err == nil && same(got, want)
}

// given is a property that is a text, or what it is without being there.
func (s *stack) given(r *resource, property, otherwise string) (string, error) {
	n := r.props.member(property)
	if n == nil {
		return otherwise, nil
	}
	v, err := s.eval(n)
	switch {
	case err != nil:
		return "", err
	case v == noValue:
		return otherwise, nil
	case v.kind != text:
		return "", v.expected("a text as " + property)
	}
	return v.text, nil
}

// physical is what a Ref to a resource is.
func (s *stack) physical(r *resource) (string, error) {
	switch r.kind {
	case typeAPI:
		return s.apiID(r.name), nil
	case typeKey, typePlan, typeRoute, typeIntegration, typeAuthorizer:
		return r.name, nil
	case typeStage:
		return s.given(r, "StageName", r.name)
	case typeFunction, typeSAMFunction:
		return s.given(r, "FunctionName", r.name)
	case typeDomain:
		return s.given(r, "DomainName", r.name)
	case typeAlias, typeVersion:
		return s.aliasARN(r)
	case "AWS::SQS::Queue":
		name, err := s.given(r, "QueueName", r.name)
		return "https://sqs." + s.Region + ".amazonaws.com/" + s.Account + "/" + name, err
	case "AWS::SNS::Topic":
		name, err := s.given(r, "TopicName", r.name)
		return s.arn("sns", name), err
	}
	return s.given(r, r.kind[strings.LastIndexByte(r.kind, ':')+1:]+"Name", r.name) // TableName, BucketName, RoleName
}

func (s *stack) arn(service, name string) string {
	partition, _ := s.pseudo("AWS::Partition")
	return "arn:" + partition.text + ":" + service + ":" + s.Region + ":" + s.Account + ":" + name
}

// apiID makes an id of the form that API Gateway has, always the same for the same
// API of a stack.
func (s *stack) apiID(name string) string {
	sum := sha256.Sum256([]byte(s.Stack + "/" + name))
	digits := new(big.Int).SetBytes(sum[:]).Text(36)
	return digits[len(digits)-10:]
}

// aliasARN is what an alias or a version of a function is called.
func (s *stack) aliasARN(r *resource) (string, error) {
	name, err := s.given(r, "FunctionName", "")
	if err != nil {
		return "", err
	}
	qualifier := "1"
	if r.kind == typeAlias {
		if qualifier, err = s.given(r, "Name", r.name); err != nil {
			return "", err
		}
	}
	if i := strings.LastIndex(name, ":function:"); i >= 0 {
		name = name[i+len(":function:"):]
	}
	return s.arn("lambda", "function:"+name+":"+qualifier), nil
}

func (s *stack) qualified(r *resource, qualifier string) (*node, error) {
	name, err := s.id(r)
	return textNode(s.arn("lambda", "function:"+name+":"+qualifier)), err
}

// getAtt is the function Fn::GetAtt: of a text with a dot, or a list of two.
func (s *stack) getAtt(argument *node) (*node, error) {
	name, attribute, ok := strings.Cut(argument.text, ".")
	if argument.kind == list && len(argument.list) == 2 {
		a, err := s.eval(argument.list[1])
		if err != nil {
			return nil, err
		}
		name, attribute, ok = argument.list[0].text, a.text, a.kind == text
	}
	if !ok || name == "" || attribute == "" {
		return nil, errors.New("Fn::GetAtt has a resource and an attribute")
	}
	return s.attribute(name, attribute)
}

func (s *stack) attribute(name, attribute string) (*node, error) {
	r, part, err := s.resource(name)
	if err != nil {
		return nil, err
	}
	if part != "" {
		return nil, fmt.Errorf("there is no resource %q", name)
	}
	if v, ok := s.Set[name+"."+attribute]; ok {
		return textNode(v), nil
	}
	id, err := s.id(r)
	if err != nil {
		return nil, err
	}
	if v, ok := s.Set[name]; ok {
		id = v
	}
	s.refer(r)
	switch {
	case isFunction(r) && attribute == "Arn":
		return textNode(s.arn("lambda", "function:"+id)), nil
	case r.kind == typeAPI && attribute == "ApiId":
		return textNode(id), nil
	case r.kind == typeAPI && attribute == "ApiEndpoint":
		suffix, _ := s.pseudo("AWS::URLSuffix")
		return textNode("wss://" + id + ".execute-api." + s.Region + "." + suffix.text), nil
	}
	return textNode(s.standIn(r, id, attribute)), nil
}

// standIn is an attribute of what is not made here, in the form that it has on AWS
// where that is the same for all.
func (s *stack) standIn(r *resource, id, attribute string) string {
	last := id[strings.LastIndexAny(id, "/:")+1:]
	parts := strings.Split(r.kind, "::")
	service := strings.ToLower(parts[min(1, len(parts)-1)])
	switch {
	case attribute == "Arn" && service == "iam":
		partition, _ := s.pseudo("AWS::Partition")
		return "arn:" + partition.text + ":iam::" + s.Account + ":role/" + last
	case attribute == "Arn" && service == "dynamodb", attribute == "Arn" && r.kind == "AWS::Serverless::SimpleTable":
		return s.arn("dynamodb", "table/"+last)
	case attribute == "Arn" && service == "s3":
		return "arn:aws:s3:::" + last
	case attribute == "Arn", attribute == "TopicArn":
		return s.arn(service, last)
	case attribute == "QueueUrl":
		return id
	case strings.HasSuffix(attribute, "Name"):
		return last
	}
	return last + "." + attribute
}

// made reports whether a resource, or what it does on AWS, is here.
func (r *resource) made() bool {
	switch r.kind {
	case typeAPI, typeStage, typeRoute, typeRouteAnswer, typeIntegration, typeIntAnswer, typeAuthorizer, typeDeployment, typeDomain, typeMapping,
		typeModel, typeFunction, typeSAMFunction, typeAlias, typeVersion, typeKey, typePlan, typePlanKey:
		return true
	}
	return slices.ContainsFunc(needless, func(prefix string) bool { return strings.HasPrefix(r.kind, prefix) })
}

// refer remembers what is referred to: functions, and what is not made here.
func (s *stack) refer(r *resource) {
	switch {
	case isFunction(r):
		s.invoked = append(s.invoked, r.name)
	case !r.made() && !slices.Contains(s.missed, r.name):
		s.missed = append(s.missed, r.name)
	}
}

// survey tells of the resources that nothing here stands for, one line for each
// type, and of macros.
func (s *stack) survey() {
	names := map[string][]string{}
	var kinds []string
	for _, name := range s.order {
		if r := s.resources[name]; !r.made() {
			if names[r.kind] == nil {
				kinds = append(kinds, r.kind)
			}
			names[r.kind] = append(names[r.kind], name)
		}
	}
	for _, kind := range kinds {
		s.findings = append(s.findings, Finding{strings.Join(names[kind], ", "), kind, unmade(kind)})
	}
}

func unmade(kind string) string {
	switch kind {
	case "AWS::Serverless::Api", "AWS::Serverless::HttpApi", "AWS::ApiGateway::RestApi":
		return "This is no WebSocket API, and is left out."
	case "AWS::Lambda::EventSourceMapping", "AWS::Events::Rule", "AWS::Scheduler::Schedule", "AWS::Lambda::Url":
		return "It calls no function here."
	}
	return "It is not made here. Give functions its address with --set or their environment."
}

// macros tells which of the template's macros are not run.
func (s *stack) macros() {
	t := s.root.member("Transform")
	if t == nil {
		return
	}
	all := t.list
	if t.kind == text {
		all = []*node{t}
	}
	for _, m := range all {
		if m.text != "AWS::Serverless-2016-10-31" && m.text != "AWS::LanguageExtensions" {
			s.find(nil, "The macro %q is not run.", m.text)
		}
	}
	if s.root.member("Rules") != nil {
		s.find(nil, "The Rules of the template are not checked.")
	}
}
