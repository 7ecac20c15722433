// An authorizer that passes on what it was told, as far as a context may have it.
package main

import (
	"errors"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func authorize(e events.APIGatewayCustomAuthorizerRequestTypeRequest) (events.APIGatewayCustomAuthorizerResponse, error) {
	if e.QueryStringParameters["Auth"] != "myFakeToken" {
		return events.APIGatewayCustomAuthorizerResponse{}, errors.New("Unauthorized")
	}
	return events.APIGatewayCustomAuthorizerResponse{
		PrincipalID: "my-username",
		PolicyDocument: events.APIGatewayCustomAuthorizerPolicy{
			Version:   "2012-10-17",
			Statement: []events.IAMPolicyStatement{{Action: []string{"execute-api:Invoke"}, Effect: "Allow", Resource: []string{e.MethodArn}}},
		},
		Context: map[string]any{
			"type": e.Type, "arn": e.MethodArn, "colour": e.StageVariables["colour"], "upgrade": e.Headers["Upgrade"],
			"stage": e.RequestContext.Stage, "api": e.RequestContext.APIID, "ip": e.RequestContext.Identity.SourceIP, "n": 1, "yes": true,
		},
	}, nil
}

func main() { lambda.Start(authorize) }
