// Package template reads the WebSocket APIs of CloudFormation and SAM templates,
// in YAML or JSON, and the functions behind them, as earshot.Gateway values.
//
// A template is evaluated as CloudFormation does it: parameters, mappings,
// conditions, pseudo parameters and functions, Globals of SAM, in short and long
// forms. Nothing is fetched and nothing is run. What a resource is called on AWS
// only once it is there is made up here, and is the same each time:
//
//   - An API's id has 10 characters and comes of the stack's name and the logical
//     id. Options.Set with the logical id as its name gives another.
//   - A function is called as its FunctionName says, else by its logical id, and
//     has an ARN in the region and account of the Options. Integrations and
//     authorizers have their logical ids.
//   - A queue, a table or whatever else is not made here is called by the name that
//     it is given, else by its logical id. Options.Set says what a Ref to it is, and
//     with a dot and an attribute behind it, what Fn::GetAtt is.
//
// # What is understood
//
//	AWS::ApiGatewayV2::Api, Stage, Route, RouteResponse, Integration,
//	    IntegrationResponse, Authorizer, DomainName, ApiMapping
//	AWS::ApiGatewayV2::Deployment: what stands in the settings is deployed
//	AWS::Serverless::WebSocketApi, AWS::Serverless::Function
//	AWS::Lambda::Function, Alias, Version
//	AWS::ApiGateway::ApiKey, UsagePlan, UsagePlanKey
//
// Permissions, roles, policies, log groups and certificates are done without.
// A Finding says what else changes behaviour: each other resource, and each
// property that counts on AWS and not here.
//
// # Functions
//
// A function whose CodeUri is a directory with an executable that is called as the
// Handler, or bootstrap, is run as that; one with a Go program is built from it.
// Functions for Node.js and Python are run by the runtime interface clients that
// AWS publishes for them. A function that cannot be run here, since its code lies
// in S3 or its runtime is another, is called at AWS Lambda in the region of the
// Options; a Finding says so. Options.Endpoint calls all functions elsewhere. An API
// has the functions that its integrations and authorizers call, and those that
// these name in their variables, as functions do that invoke others.
//
// A template says which programs are run, so one is trusted like a program.
//
// # Choices
//
//   - An integration that is not known here (AWS with templates in VTL, an
//     AWS service) becomes a MOCK that answers 501: $connect is then refused, and
//     nobody is let in whom it would have asked about.
//   - Of the mapping templates of a MOCK, those count that are JSON with a number
//     as statusCode and without VTL, and response templates without VTL.
//   - A route has a route response if both the route and an
//     AWS::ApiGatewayV2::RouteResponse say so, as on AWS.
//   - Under a custom domain the path is the stage, as elsewhere, or empty for the
//     first stage; another ApiMappingKey is told of.
//   - Where all functions of an API run here and it has no custom domain, events say
//     its host of execute-api as domainName, as on AWS: functions that run here reach
//     the management API by it.
//   - YAML's anchors, aliases and merge keys are taken, as the AWS CLI does.
//
// # Limits
//
// A template has 1 MiB, 100 levels, 100,000 nodes, aliases counted out, and 1,000
// resources at the most; no text that functions make has more than 64 KiB, and evaluation ends after
// 200,000 steps. What refers to itself is an error. Read fails with all that is
// wrong, one line each.
package template
