// The function of $connect and $disconnect puts its event into the queue as the
// library decoded it, which refuses what it does not know.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/earshot-io/earshot/conformance/gateway/testdata/functions/queue"
)

func tell(ctx context.Context, e events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	return events.APIGatewayProxyResponse{StatusCode: 200}, queue.Send(ctx, e)
}

func main() { lambda.StartWithOptions(tell, lambda.WithDisallowUnknownFields(true)) }
