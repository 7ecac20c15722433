// The authorizer of the tutorial: it lets in who shows the token, and refuses
// others in the three ways that there are.
package main

import (
	"errors"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func authorize(event events.APIGatewayCustomAuthorizerRequestTypeRequest) (events.APIGatewayCustomAuthorizerResponse, error) {
	effect := "Allow"
	switch event.QueryStringParameters["Auth"] {
	case "myFakeToken":
	case "deny":
		effect = "Deny"
	case "crash":
		return events.APIGatewayCustomAuthorizerResponse{}, errors.New("the token store is away")
	default:
		return events.APIGatewayCustomAuthorizerResponse{}, errors.New("Unauthorized")
	}
	return events.APIGatewayCustomAuthorizerResponse{
		PrincipalID: "my-username",
		PolicyDocument: events.APIGatewayCustomAuthorizerPolicy{
			Version:   "2012-10-17",
			Statement: []events.IAMPolicyStatement{{Action: []string{"execute-api:Invoke"}, Effect: effect, Resource: []string{event.MethodArn}}},
		},
		Context: map[string]any{"org": "my-org", "role": "admin"},
	}, nil
}

func main() { lambda.Start(authorize) }
