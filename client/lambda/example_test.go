package lambda_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/client/lambda"
)

// The configuration is the Ruby library's, and so is what is sent.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("%s %s\n%s\n", r.Method, r.URL.Path, body)
		_, _ = io.WriteString(w, `{"channel":"orders","event":"paid"}`)
	}))
	defer server.Close()

	publisher, err := lambda.NewPublisher(context.Background(), client.Config{
		PublishFunctionARN: "arn:aws:lambda:us-east-1:111111111111:function:Publish",
		AWSRegion:          "us-east-1",
		AWSAccessKeyID:     "AKIDEXAMPLE",
		AWSSecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		AWSEndpointURL:     server.URL, // not needed for AWS itself
	})
	if err != nil {
		log.Fatal(err)
	}
	defer publisher.Close()
	answer, err := publisher.Publish(context.Background(), client.Message{Channel: "orders", Event: "paid", Data: 7})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer.Raw)
	// Output:
	// POST /2015-03-31/functions/arn:aws:lambda:us-east-1:111111111111:function:Publish/invocations
	// {"event":"paid","channel":"orders","data":7}
	// {"channel":"orders","event":"paid"}
}
