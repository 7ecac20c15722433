// A function that says hello to who calls it, over the management API.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/apigatewaymanagementapi"
)

func main() {
	lambda.Start(func(ctx context.Context, event events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
		endpoint := fmt.Sprintf("https://%s/%s", event.RequestContext.DomainName, event.RequestContext.Stage)
		api := apigatewaymanagementapi.New(session.Must(session.NewSession()), aws.NewConfig().WithEndpoint(endpoint).WithRegion(os.Getenv("AWS_REGION")))
		_, err := api.PostToConnectionWithContext(ctx, &apigatewaymanagementapi.PostToConnectionInput{
			ConnectionId: aws.String(event.RequestContext.ConnectionID), Data: []byte("hello"),
		})
		return events.APIGatewayProxyResponse{StatusCode: 200}, err
	})
}
