// The worker is given what is in the queue, and answers the connections over the
// management API, at the address that AWS would have. It returns what became of each.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/apigatewaymanagementapi"
)

func work(ctx context.Context, e events.SQSEvent) ([]string, error) {
	endpoint := fmt.Sprintf("%v.execute-api.%v.amazonaws.com/%v", os.Getenv("API_GATEWAY_ID"), os.Getenv("AWS_REGION"), os.Getenv("GO_ENV"))
	api := apigatewaymanagementapi.New(session.Must(session.NewSession()), aws.NewConfig().WithEndpoint(endpoint))
	var became []string
	for _, record := range e.Records {
		var job struct{ ConnectionID, Question string }
		if err := json.Unmarshal([]byte(record.Body), &job); err != nil {
			return nil, err
		}
		_, err := api.PostToConnectionWithContext(ctx, &apigatewaymanagementapi.PostToConnectionInput{
			ConnectionId: &job.ConnectionID, Data: []byte("the answer to " + job.Question),
		})
		var known awserr.Error
		switch {
		case err == nil:
			became = append(became, "answered")
		case errors.As(err, &known):
			became = append(became, known.Code())
		default:
			return nil, err
		}
	}
	return became, nil
}

func main() { lambda.Start(work) }
