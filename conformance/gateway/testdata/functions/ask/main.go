// The function of the route ask puts what was asked into the queue, with the
// connection that is to be answered and who is to do it, and says nothing itself.
package main

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/earshot-io/earshot/conformance/gateway/testdata/functions/queue"
)

func ask(ctx context.Context, e events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	err := queue.Send(ctx, map[string]any{
		"worker": os.Getenv("WORKER"), "connectionId": e.RequestContext.ConnectionID, "question": e.Body, "event": e,
	})
	return events.APIGatewayProxyResponse{StatusCode: 200}, err
}

func main() { lambda.StartWithOptions(ask, lambda.WithDisallowUnknownFields(true)) }
