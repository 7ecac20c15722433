// The function of $connect.
package main

import (
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func connect(event events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	fmt.Println("connected:", event.RequestContext.ConnectionID)
	return events.APIGatewayProxyResponse{StatusCode: 200}, nil
}

func main() { lambda.Start(connect) }
