package template_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/template"
)

// TestChat reads plain CloudFormation with all that it has for WebSocket APIs.
func TestChat(t *testing.T) {
	dir := t.TempDir()
	worker := filepath.Join(dir, "functions", "worker")
	if err := os.MkdirAll(worker, 0o700); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(worker, "bootstrap")
	if err := os.WriteFile(binary, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	got := file(t, "chat.yaml", template.Options{Dir: dir, Set: map[string]string{"People": "people-local", "Jobs.Arn": "arn:local"}, Stack: "demo"})
	id, pong := got.Gateways[0].ID, `{"pong":true}`
	expect(t, got, []string{
		"Jobs (AWS::SQS::Queue): It is not made here. Give functions its address with --set or their environment.",
		"People, Rooms (AWS::DynamoDB::Table): It is not made here. Give functions its address with --set or their environment.",
		"ApiStage (AWS::ApiGatewayV2::Stage): AccessLogSettings: No access log is written.",
		"Connect (AWS::ApiGatewayV2::Route): RequestParameters: Parameters are not required here.",
		"Send (AWS::ApiGatewayV2::Route): There is no AWS::ApiGatewayV2::RouteResponse of it: what its integration answers does not go to the client, as on AWS.",
		"Send (AWS::ApiGatewayV2::Route): RequestModels: Request models are out: messages are not validated.",
		"Plain (AWS::ApiGatewayV2::Integration): RequestTemplates: mapping templates (VTL) are out: the message goes to the integration as it is.",
		"Enqueue (AWS::ApiGatewayV2::Route): Only $connect can be authorized: AuthorizationType and ApiKeyRequired are left out.",
		"ToQueue (AWS::ApiGatewayV2::Integration): Integrations of the type AWS, with mapping templates (VTL), are out: it answers 501 here, which refuses $connect.",
		"Plan (AWS::ApiGateway::UsagePlan): Quota: Quotas are not counted.",
		`Worker (AWS::Lambda::Function): Its variable QUEUE is "https://sqs.us-east-1.amazonaws.com/000000000000/jobs", and Jobs (AWS::SQS::Queue) is not made here: say what it is with --set Jobs=VALUE.`,
		"The export shared-address is another stack's, which is not asked: set it.",
		"Worker (AWS::Lambda::Function): Its variable SECRET is a value that AWS looks up ({{resolve:…}}): nothing does here.",
	}, earshot.Gateway{
		ID: id, Name: "chat-dev", RouteSelection: "${request.body.service}/${request.body.action}", APIKeySelection: "$request.header.x-api-key",
		Region: "us-east-1", Account: "000000000000", ManagementDomain: id + ".execute-api.us-east-1.amazonaws.com",
		Stages: []earshot.GatewayStage{{
			Name: "dev", Variables: map[string]string{"backend": "two.example.com", "fn": "demo-worker"},
			Default: earshot.GatewayThrottle{Rate: 10, Burst: 5}, Routes: map[string]earshot.GatewayThrottle{"$connect": {Rate: 0.5, Burst: 1}},
		}},
		Routes: []earshot.GatewayRoute{
			{Key: "$connect", Target: "integrations/Greeter", AuthorizationType: "AWS_IAM", APIKeyRequired: true},
			{Key: "$disconnect", Target: "integrations/Later"},
			{Key: "chat/ping", Target: "integrations/Pong", RouteResponse: "$default"},
			{Key: "chat/send", Target: "integrations/Plain", AuthorizationType: "NONE"},
			{Key: "$default", Target: "integrations/ToQueue"},
		},
		Integrations: []earshot.GatewayIntegration{
			{
				ID: "Greeter", Type: earshot.HTTPProxy, Method: "POST", URI: "https://${stageVariables.backend}/connect", TimeoutMillis: 5000,
				RequestParameters: map[string]string{"integration.request.header.connectionId": "context.connectionId", "integration.request.header.Sec-WebSocket-Version": "'0'"},
			},
			{ID: "Later", Type: earshot.AWSProxy, URI: lambdaURI("us-east-1", "000000000000", "${stageVariables.fn}"), Asynchronous: true},
			{ID: "Pong", Type: earshot.Mock, Responses: []earshot.GatewayResponse{{Key: "$default", Status: 200, Body: &pong}}},
			{ID: "Plain", Type: earshot.HTTPPlain, Method: "PUT", URI: "http://10.0.0.1:8080/send", Responses: []earshot.GatewayResponse{{Key: "$default"}}},
			{ID: "ToQueue", Type: earshot.Mock, Responses: []earshot.GatewayResponse{{Key: "$default", Status: 501}}},
		},
		Functions: []earshot.GatewayFunction{{
			Name: "demo-worker", Command: []string{binary}, Dir: worker, Handler: "bootstrap", TimeoutSeconds: 20, MemoryMB: 128, Copies: 4,
			Environment: map[string]string{
				"QUEUE": "https://sqs.us-east-1.amazonaws.com/000000000000/jobs", "QUEUE_ARN": "arn:local", "TABLE": "people-local",
				"CALLBACK": "https://" + id + ".execute-api.us-east-1.amazonaws.com/dev", "ENDPOINT": "wss://" + id + ".execute-api.us-east-1.amazonaws.com",
				"SHARED": "shared-address", "SECRET": "{{resolve:secretsmanager:chat:SecretString:key}}", "DEBUG": "true",
			},
		}},
		APIKeys: []earshot.GatewayKey{{ID: "Key", Value: "partner-key-0123456789", Throttle: earshot.GatewayThrottle{Rate: 2, Burst: 4}}},
	})
}

// TestChatInProduction meets the other conditions.
func TestChatInProduction(t *testing.T) {
	got := file(t, "chat.yaml", template.Options{Set: map[string]string{
		"Stage": "prod", "Rate": "0.5e2", "shared-address": "http://shared", "Jobs": "http://127.0.0.1/jobs", "Jobs.Arn": "arn:x", "People": "p", "Origins": "a,b",
	}, Region: "cn-north-1"})
	g := got.Gateways[0]
	if g.Name != "chat" || g.Hosts[0] != "ws-prod.example.com" || g.Stages[0].Default != (earshot.GatewayThrottle{Rate: 50, Burst: 50}) ||
		g.Stages[0].Variables["backend"] != "b" {
		t.Errorf("got %+v", g)
	}
	if !slices.ContainsFunc(got.Findings, func(f template.Finding) bool {
		return f.Resource == "Mapping" && strings.Contains(f.Text, "connect to wss://ws-prod.example.com/prod instead of wss://ws-prod.example.com/chat")
	}) {
		t.Errorf("nothing is said of the path under the domain: %v", got.Findings)
	}
	env := g.Functions[0].Environment
	if _, ok := env["DEBUG"]; ok || env["SHARED"] != "http://shared" || env["QUEUE"] != "http://127.0.0.1/jobs" || env["ENDPOINT"] != "wss://"+g.ID+".execute-api.cn-north-1.amazonaws.com.cn" {
		t.Errorf("the environment is %v", env)
	}
	if g.Functions[0].MemoryMB != 512 || g.Integrations[1].URI[:11] != "arn:aws-cn:" {
		t.Errorf("got %+v, %s", g.Functions[0], g.Integrations[1].URI)
	}
}

// TestJSON reads long forms.
func TestJSON(t *testing.T) {
	got := file(t, "chat.json", template.Options{})
	expect(t, got, []string{
		"EchoFunction (AWS::Lambda::Function): It is called at AWS Lambda, since its code lies in S3 or in an image. Give it an access_key_id and secret_access_key, or a source, a command or another endpoint.",
	}, earshot.Gateway{
		ID: got.Gateways[0].ID, Name: "chat-dev", RouteSelection: "$request.body.action", Region: "us-east-1", Account: "000000000000",
		Stages:       []earshot.GatewayStage{{Name: "dev"}},
		Routes:       []earshot.GatewayRoute{{Key: "$default", Target: "integrations/Echo"}},
		Integrations: []earshot.GatewayIntegration{{ID: "Echo", Type: earshot.AWSProxy, URI: lambdaURI("us-east-1", "000000000000", "EchoFunction"), TimeoutMillis: 1500}},
		Functions:    []earshot.GatewayFunction{{Name: "EchoFunction", Endpoint: "https://lambda.us-east-1.amazonaws.com", Handler: "main"}},
	})
}

// TestSAM reads what SAM makes resources of.
func TestSAM(t *testing.T) {
	got := file(t, "sam.yaml", template.Options{})
	chat, bare := got.Gateways[0].ID, got.Gateways[1].ID
	uri := func(name string) string { return "arn:aws:lambda:us-east-1:000000000000:function:" + name }
	say := earshot.GatewayFunction{
		Name: "Say", Command: []string{"python3", "-m", "awslambdaric", "say.handler"}, Dir: "functions/say", Handler: "say.handler", MemoryMB: 256,
		Environment: map[string]string{"LEVEL": "info", "REGION": "us-east-1", "OWN": "1"},
	}
	aws := "https://lambda.us-east-1.amazonaws.com"
	expect(t, got, []string{
		"Chat (AWS::Serverless::WebSocketApi): Request models are out: messages are not validated.",
		"Rest (AWS::Serverless::Api): This is no WebSocket API, and is left out.",
		"ChatsayRoute (AWS::ApiGatewayV2::Route): There is no AWS::ApiGatewayV2::RouteResponse of it: what its integration answers does not go to the client, as on AWS.",
		"Chat (AWS::ApiGatewayV2::Api): The stage prod limits the route nowhere, which there is not.",
		"Judge (AWS::Serverless::Function): It is run by the package aws-lambda-ric: `npm install aws-lambda-ric` in functions/judge.",
		"Judge (AWS::Serverless::Function): Layers: They are not there: the function has its own directory alone.",
		"Door (AWS::Serverless::Function): There is neither a Go program nor an executable in functions/door yet.",
		"Say (AWS::Serverless::Function): It is run by the package awslambdaric: `pip install awslambdaric`.",
		"Say (AWS::Serverless::Function): Layers: They are not there: the function has its own directory alone.",
		"Legacy (AWS::Serverless::Function): It is called at AWS Lambda, since its code lies in S3. Give it an access_key_id and secret_access_key, or a source, a command or another endpoint.",
		"The function elsewhere is not in the template: it is called at AWS Lambda. Give it an access_key_id and secret_access_key, or a source, a command or another endpoint.",
		"Worker (AWS::Serverless::Function): There is neither a Go program nor an executable in functions/worker yet.",
		"Site (AWS::ApiGatewayV2::Api): An API of the type \"HTTP\" is no WebSocket API, and is left out with its routes.",
		"Idle (AWS::Serverless::Function): No route calls it, and no variable of a function that one calls names it: it is not run here.",
	}, earshot.Gateway{
		ID: chat, RouteSelection: "$request.body.action", Region: "us-east-1", Account: "000000000000", Hosts: []string{"ws.example.com"},
		Stages: []earshot.GatewayStage{{Name: "prod", Variables: map[string]string{"tier": "one"}, Routes: map[string]earshot.GatewayThrottle{"say": {Rate: 9}}, Default: earshot.GatewayThrottle{Rate: 3, Burst: 7}}},
		Routes: []earshot.GatewayRoute{
			{Key: "$connect", Target: "integrations/ChatconnectIntegration", AuthorizationType: "CUSTOM", AuthorizerID: "ChatAuthorizer"},
			{Key: "say", Target: "integrations/ChatsayIntegration"},
			{Key: "old", Target: "integrations/ChatoldIntegration"},
			{Key: "gone", Target: "integrations/ChatgoneIntegration"},
		},
		Integrations: []earshot.GatewayIntegration{
			{ID: "ChatconnectIntegration", Type: earshot.AWSProxy, URI: uri("Door"), TimeoutMillis: 3000},
			{ID: "ChatsayIntegration", Type: earshot.AWSProxy, URI: uri("Say")},
			{ID: "ChatoldIntegration", Type: earshot.AWSProxy, URI: uri("Legacy")},
			{ID: "ChatgoneIntegration", Type: earshot.AWSProxy, URI: uri("elsewhere:live")},
		},
		Authorizers: []earshot.GatewayAuthorizer{
			{ID: "ChatAuthorizer", URI: uri("Judge"), IdentitySource: []string{"route.request.header.Authorization", "route.request.querystring.room"}},
		},
		Functions: []earshot.GatewayFunction{
			{
				Name: "Judge", Command: []string{"npx", "aws-lambda-ric", "index.handler"}, Dir: "functions/judge", Handler: "index.handler", MemoryMB: 256, TimeoutSeconds: 2,
				Environment: map[string]string{"LEVEL": "info", "REGION": "us-east-1"},
			},
			{
				Name: "Door", Source: "functions/door", Handler: "bootstrap", MemoryMB: 256,
				Environment: map[string]string{"LEVEL": "debug", "REGION": "us-east-1", "API": chat, "STAGE": "prod", "WORKER": uri("Worker")},
			},
			say,
			{Name: "Legacy", Endpoint: aws, Handler: "a.B::c", MemoryMB: 256},
			{Name: "elsewhere", Endpoint: aws},
			{Name: "Worker", Source: "functions/worker", Handler: "bootstrap", MemoryMB: 256, Environment: map[string]string{"LEVEL": "info", "REGION": "us-east-1"}},
		},
	}, earshot.Gateway{
		ID: bare, RouteSelection: "$request.body.kind", Region: "us-east-1", Account: "000000000000", ManagementDomain: bare + ".execute-api.us-east-1.amazonaws.com",
		Stages: []earshot.GatewayStage{{Name: "default", Default: earshot.GatewayThrottle{Burst: 7}}},
		Routes: []earshot.GatewayRoute{
			{Key: "$default", Target: "integrations/BaredefaultIntegration"},
			{Key: "$connect", AuthorizationType: "AWS_IAM"},
		},
		Integrations: []earshot.GatewayIntegration{{ID: "BaredefaultIntegration", Type: earshot.AWSProxy, URI: uri("Say")}},
		Functions:    []earshot.GatewayFunction{say},
	})
}

// TestKeys: API keys come of the template, or are drawn.
func TestKeys(t *testing.T) {
	read := func(properties string) (*template.Result, error) {
		return template.Read([]byte(around("a", "")+`
  C: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: $connect, ApiKeyRequired: true}}
  K: {Type: AWS::ApiGateway::ApiKey, Properties: {`+properties+`}}
  P: {Type: AWS::ApiGateway::UsagePlan, Properties: {UsagePlanName: p, ApiStages: [{ApiId: !Ref Api, Stage: !Ref Stage}]}}
  L: {Type: AWS::ApiGateway::UsagePlanKey, Properties: {KeyId: !Ref K, KeyType: API_KEY, UsagePlanId: !Ref P}}
`), template.Options{})
	}
	one, err := read("Enabled: true")
	if err != nil {
		t.Fatal(err)
	}
	two, err := read("Enabled: true")
	if err != nil || len(one.Gateways[0].APIKeys[0].Value) < 20 || one.Gateways[0].APIKeys[0].Value == two.Gateways[0].APIKeys[0].Value {
		t.Errorf("%v: drawn are %v and %v", err, one.Gateways[0].APIKeys, two.Gateways[0].APIKeys)
	}
	off, err := read("Enabled: false, Value: partner-key-0123456789")
	if err != nil || off.Gateways[0].APIKeys != nil || !slices.ContainsFunc(off.Findings, func(f template.Finding) bool { return strings.Contains(f.Text, "nobody can connect") }) {
		t.Errorf("%v, %v", err, off)
	}
	for value, want := range map[string]string{"file:/etc/hostname-or-whatever": "does not begin with file:", "short": "20 to 128 characters"} {
		if _, err := read("Value: " + value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", value, err, want)
		}
	}
}
