//lint:file-ignore SA1019 functions of this age are what is run here

package function_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/apigatewaymanagementapi"
)

// call is what the tutorial's function does, with the SDK that it uses: it makes
// the address of the management API of its parts, without a scheme.
func call(connection string) (any, error) {
	s, err := session.NewSessionWithOptions(session.Options{SharedConfigState: session.SharedConfigEnable})
	if err != nil {
		return nil, err
	}
	endpoint := fmt.Sprintf("%v.execute-api.%v.amazonaws.com/%v", os.Getenv("API_GATEWAY_ID"), os.Getenv("AWS_REGION"), os.Getenv("GO_ENV"))
	api := apigatewaymanagementapi.New(s, aws.NewConfig().WithEndpoint(endpoint).WithMaxRetries(0))
	_, err = api.PostToConnection(&apigatewaymanagementapi.PostToConnectionInput{
		ConnectionId: aws.String(connection), Data: []byte("Hello there!"),
	})
	return "sent", err
}

// get fetches an address as Go does it by default.
func get(address string) (any, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, strings.Fields(address)[0], nil)
	if err != nil {
		return nil, err
	}
	if more := strings.Fields(address)[1:]; len(more) > 0 {
		r.Host = more[0]
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(body))), err
}
