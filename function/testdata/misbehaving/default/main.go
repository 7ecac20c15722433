// A function that does what its message says, none of which it should.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func misbehave(_ context.Context, event events.APIGatewayWebsocketProxyRequest) (any, error) {
	switch event.Body {
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
	case "flood":
		line := strings.Repeat("x", 1000)
		for range 5_000 {
			fmt.Println(line)
		}
	}
	return events.APIGatewayProxyResponse{StatusCode: 200}, nil
}

func main() { lambda.Start(misbehave) }
