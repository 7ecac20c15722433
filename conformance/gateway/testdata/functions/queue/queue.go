// Package queue puts what functions have to say into the queue that their
// environment names.
package queue

import (
	"context"
	"encoding/json"
	"os"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/sqs"
)

// Send puts v into the queue, as JSON.
func Send(ctx context.Context, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s, err := session.NewSession()
	if err != nil {
		return err
	}
	url := os.Getenv("QUEUE")
	_, err = sqs.New(s, aws.NewConfig().WithEndpoint(url)).SendMessageWithContext(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(string(body))})
	return err
}
