// The function of the route pushtowebsocket: it says hello to who called it, over
// the management API, whose address it makes of the API's id.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/apigatewaymanagementapi"
)

var api = newAPI(fmt.Sprintf("%v.execute-api.%v.amazonaws.com/%v", os.Getenv("API_GATEWAY_ID"), os.Getenv("AWS_REGION"), os.Getenv("GO_ENV")))

func newAPI(endpoint string) *apigatewaymanagementapi.ApiGatewayManagementApi {
	s := session.Must(session.NewSessionWithOptions(session.Options{SharedConfigState: session.SharedConfigEnable}))
	return apigatewaymanagementapi.New(s, aws.NewConfig().WithEndpoint(endpoint))
}

func push(request events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	input := &apigatewaymanagementapi.PostToConnectionInput{
		ConnectionId: aws.String(request.RequestContext.ConnectionID),
		Data:         []byte("Hello there!"),
	}
	if _, err := api.PostToConnection(input); err != nil {
		log.Print(err)
		return events.APIGatewayProxyResponse{StatusCode: 500, Body: "Something went wrong"}, nil
	}
	return events.APIGatewayProxyResponse{StatusCode: 200}, nil
}

func main() { lambda.Start(push) }
