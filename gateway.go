package earshot

// A Gateway is a WebSocket API as Amazon API Gateway has them: routes by which
// messages of clients reach integrations. Names and meanings are those of the
// ApiGatewayV2 API (section 2 of the specification), so that a template can be
// read one to one. It is plain data: package gateway compiles it.
type Gateway struct {
	// ID is the apiId: 1 to 32 of a-z and 0-9, unique on the server.
	ID   string `json:"id" toml:"id"`
	Name string `json:"name,omitempty" toml:"name"`
	// Hosts are custom domains that select the API; {ID}.execute-api.{Region}.amazonaws.com
	// always does, and so does the app's own host or path.
	Hosts []string `json:"hosts,omitempty" toml:"hosts"`
	// RouteSelection is the route selection expression, such as $request.body.action.
	RouteSelection string `json:"routeSelectionExpression" toml:"route_selection_expression"`
	// APIKeySelection is $request.header.x-api-key, which is the default, or
	// $context.authorizer.usageIdentifierKey.
	APIKeySelection string `json:"apiKeySelectionExpression,omitempty" toml:"api_key_selection_expression"`
	// Region and Account are what ARNs name; us-east-1 and 000000000000 by default.
	Region  string `json:"region,omitempty" toml:"region"`
	Account string `json:"account,omitempty" toml:"account"`
	// ManagementDomain fills domainName in events instead of the host that the
	// client used: functions build the address of the management API from it.
	ManagementDomain string `json:"managementDomain,omitempty" toml:"management_domain"`

	Stages       []GatewayStage       `json:"stages" toml:"stages"`
	Routes       []GatewayRoute       `json:"routes" toml:"routes"`
	Integrations []GatewayIntegration `json:"integrations,omitempty" toml:"integrations"`
	Authorizers  []GatewayAuthorizer  `json:"authorizers,omitempty" toml:"authorizers"`
	// Functions are what integrations and authorizers may name by their ARN.
	Functions []GatewayFunction `json:"functions,omitempty" toml:"functions"`
	APIKeys   []GatewayKey      `json:"apiKeys,omitempty" toml:"api_keys"`

	// IdleSeconds closes a connection on which nothing was said for so long, by
	// default 600; LifetimeSeconds one that is older, by default none. Negative
	// is never.
	IdleSeconds     int `json:"idleSeconds,omitempty" toml:"idle_seconds"`
	LifetimeSeconds int `json:"lifetimeSeconds,omitempty" toml:"lifetime_seconds"`
	// Concurrent has the messages of one connection worked on beside one another,
	// instead of one after another.
	Concurrent bool `json:"concurrent,omitempty" toml:"concurrent"`
	// Binary takes binary messages of clients, in base64 in the event, instead of
	// closing with 1003.
	Binary bool `json:"binary,omitempty" toml:"binary"`
	// Subprotocols are chosen from, in order, where the $connect integration, or
	// its absence, chooses none.
	Subprotocols []string `json:"subprotocols,omitempty" toml:"subprotocols"`

	// Trusted says that the operator wrote its addresses down, so that they may be
	// internal ones. It is never read from anywhere.
	Trusted bool `json:"-" toml:"-"`
}

// A GatewayStage is one deployment of the API: the first segment of its path.
type GatewayStage struct {
	Name string `json:"stageName" toml:"stage_name"`
	// Variables are the stage variables.
	Variables map[string]string `json:"stageVariables,omitempty" toml:"stage_variables"`
	// Default limits every route of the stage, Routes single ones by their key.
	Default GatewayThrottle            `json:"defaultRouteSettings,omitzero" toml:"default_route_settings"`
	Routes  map[string]GatewayThrottle `json:"routeSettings,omitempty" toml:"route_settings"`
}

// A GatewayThrottle is a token bucket: so many requests a second, and so many at
// once. Zero is no limit.
type GatewayThrottle struct {
	Rate  float64 `json:"throttlingRateLimit,omitempty" toml:"throttling_rate_limit"`
	Burst int     `json:"throttlingBurstLimit,omitempty" toml:"throttling_burst_limit"`
}

// A GatewayRoute leads from a route key to an integration.
type GatewayRoute struct {
	// Key is $connect, $disconnect, $default, or what the selection expression gives.
	Key string `json:"routeKey" toml:"route_key"`
	// Target is "integrations/" and the integration's id.
	Target string `json:"target,omitempty" toml:"target"`
	// AuthorizationType is NONE (or empty), CUSTOM with AuthorizerID, or AWS_IAM; of
	// $connect only.
	AuthorizationType string `json:"authorizationType,omitempty" toml:"authorization_type"`
	AuthorizerID      string `json:"authorizerId,omitempty" toml:"authorizer_id"`
	APIKeyRequired    bool   `json:"apiKeyRequired,omitempty" toml:"api_key_required"`
	// RouteResponse is "$default" if what the integration answers goes to the client.
	RouteResponse string `json:"routeResponseSelectionExpression,omitempty" toml:"route_response_selection_expression"`
}

// The types of integrations.
const (
	AWSProxy  = "AWS_PROXY"
	HTTPProxy = "HTTP_PROXY"
	HTTPPlain = "HTTP"
	Mock      = "MOCK"
	// HTTPEvent posts the event of AWS_PROXY to an address, and reads the answer
	// of AWS_PROXY from the body. It is Earshot's own.
	HTTPEvent = "HTTP_EVENT"
)

// A GatewayIntegration is a backend.
type GatewayIntegration struct {
	ID   string `json:"integrationId" toml:"integration_id"`
	Type string `json:"integrationType" toml:"integration_type"`
	// URI is the function's ARN, by itself or in the form that API Gateway has for
	// it, or an address. ${stageVariables.x} in it is replaced.
	URI    string `json:"integrationUri,omitempty" toml:"integration_uri"`
	Method string `json:"integrationMethod,omitempty" toml:"integration_method"`
	// TimeoutMillis is how long it may take, 50 to 29000 and by default that.
	TimeoutMillis int `json:"timeoutInMillis,omitempty" toml:"timeout_in_millis"`
	// RequestParameters are the parameter mapping of HTTP integrations:
	// integration.request.header.x to context.connectionId and the like.
	RequestParameters map[string]string `json:"requestParameters,omitempty" toml:"request_parameters"`
	// Responses are of HTTP and MOCK: by $default or /regex/ of the status.
	Responses []GatewayResponse `json:"responses,omitempty" toml:"responses"`
	// Asynchronous invokes a function without waiting for what it answers.
	Asynchronous bool `json:"asynchronous,omitempty" toml:"asynchronous"`
	// ForwardUpgrade sends all headers of the handshake on to an HTTP integration of
	// $connect, those of the upgrade too, as API Gateway does.
	ForwardUpgrade bool `json:"forwardUpgrade,omitempty" toml:"forward_upgrade"`
	// EventHeaders adds X-Connection-Id, X-Event-Type, X-Route-Key, X-Message-Id and
	// X-Request-Id to requests of HTTP integrations.
	EventHeaders bool `json:"eventHeaders,omitempty" toml:"event_headers"`
	// Concurrency is how many calls may be under way on a node, by default 1000.
	Concurrency int `json:"concurrency,omitempty" toml:"concurrency"`
}

// A GatewayResponse is an integration response with a fixed body.
type GatewayResponse struct {
	Key    string `json:"integrationResponseKey" toml:"integration_response_key"`
	Status int    `json:"statusCode,omitempty" toml:"status_code"`
	// Body is sent instead of what the integration answered; nil sends that.
	Body *string `json:"body,omitempty" toml:"body"`
}

// A GatewayAuthorizer is a REQUEST authorizer: a function that judges $connect.
type GatewayAuthorizer struct {
	ID  string `json:"authorizerId" toml:"authorizer_id"`
	URI string `json:"authorizerUri" toml:"authorizer_uri"`
	// IdentitySource are expressions that must all have a value, such as
	// route.request.querystring.Auth.
	IdentitySource []string `json:"identitySource,omitempty" toml:"identity_source"`
}

// A GatewayFunction is a Lambda function: one that this server runs, or one of a
// service that speaks Lambda's API.
type GatewayFunction struct {
	Name string `json:"functionName" toml:"function_name"`
	// Command is what runs it here, with its arguments: a binary that is built on
	// a Lambda runtime. Dir is where it runs.
	Command []string `json:"command,omitempty" toml:"command"`
	Dir     string   `json:"dir,omitempty" toml:"dir"`
	// Source is a directory with a Go program, to be built before it is run.
	Source string `json:"source,omitempty" toml:"source"`
	// Endpoint is the address of a service with Lambda's API that has the function
	// instead, and AccessKey what requests to it are signed with; without one they
	// are not.
	Endpoint  string     `json:"endpoint,omitempty" toml:"endpoint"`
	AccessKey *AccessKey `json:"-" toml:"-"`
	// Handler and Environment are the function's own.
	Handler     string            `json:"handler,omitempty" toml:"handler"`
	Environment map[string]string `json:"environment,omitempty" toml:"environment"`
	// TimeoutSeconds is how long one call may take, by default 3; MemoryMB is told to
	// the function, and Copies is how many of it run at the most, by default 10.
	TimeoutSeconds int `json:"timeout,omitempty" toml:"timeout"`
	MemoryMB       int `json:"memorySize,omitempty" toml:"memory_size"`
	Copies         int `json:"copies,omitempty" toml:"copies"`
}

// A GatewayKey is an API key with its usage plan.
type GatewayKey struct {
	ID       string          `json:"id" toml:"id"`
	Value    string          `json:"-" toml:"value"`
	Throttle GatewayThrottle `json:"throttle,omitzero" toml:"throttle"`
}
