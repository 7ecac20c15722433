// A function that does what its client says, none of which it should.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi/types"

	"github.com/earshot-io/earshot/conformance/gateway/testdata/functions/queue"
)

func misbehave(ctx context.Context, e events.APIGatewayWebsocketProxyRequest) (any, error) {
	what := e.RequestContext.RouteKey
	if what == "" || what[0] == '$' {
		what = cmp.Or(e.Body, e.QueryStringParameters["do"])
	}
	switch what {
	case "fail":
		return nil, errors.New("no luck")
	case "crash":
		panic("ouch")
	case "exit":
		os.Exit(3)
	case "hang":
		time.Sleep(time.Hour)
	case "garbage":
		return strings.NewReader("}{"), nil
	case "wrong":
		return map[string]any{"statusCode": "two hundred"}, nil
	case "large":
		return map[string]any{"statusCode": 200, "body": strings.Repeat("x", 7<<20)}, nil
	case "pour":
		return events.APIGatewayProxyResponse{StatusCode: 200}, pour(ctx, e.RequestContext)
	case "flood":
		line := strings.Repeat("x", 1000)
		for range 5000 {
			fmt.Println(line)
		}
	}
	return events.APIGatewayProxyResponse{StatusCode: 200}, nil
}

// pour posts to the client until it is behind, with the second generation of the
// SDK, and puts into the queue how much was taken.
func pour(ctx context.Context, to events.APIGatewayWebsocketProxyRequestContext) error {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	api := apigatewaymanagementapi.NewFromConfig(c, func(o *apigatewaymanagementapi.Options) {
		o.BaseEndpoint = aws.String(fmt.Sprintf("https://%s/%s", to.DomainName, to.Stage))
	})
	for n := 0; ; n++ {
		_, err := api.PostToConnection(ctx, &apigatewaymanagementapi.PostToConnectionInput{
			ConnectionId: &to.ConnectionID, Data: fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", 100<<10)),
		})
		var limited *types.LimitExceededException
		if errors.As(err, &limited) {
			return queue.Send(ctx, map[string]any{"posted": n})
		}
		if err != nil {
			return err
		}
	}
}

func main() { lambda.Start(misbehave) }
