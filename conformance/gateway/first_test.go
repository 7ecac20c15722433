package gateway_test

//lint:file-ignore SA1019 the tutorial's functions use the first generation of the SDK, and go on doing so

import (
	"errors"
	"testing"

	awsv1 "github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	credentialsv1 "github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	managementv1 "github.com/aws/aws-sdk-go/service/apigatewaymanagementapi"
	"github.com/coder/websocket"
)

// TestFirstGeneration: the SDK that the tutorial's functions use.
func TestFirstGeneration(t *testing.T) {
	s := serve(t)
	c := s.connect("/prod")
	client := func(secret string) *managementv1.ApiGatewayManagementApi {
		return managementv1.New(session.Must(session.NewSession()), awsv1.NewConfig().WithEndpoint(s.base+"/prod").WithRegion(region).
			WithCredentials(credentialsv1.NewStaticCredentials(keyID, secret, "")))
	}
	api := client(secret)
	if _, err := api.PostToConnection(&managementv1.PostToConnectionInput{ConnectionId: &c.id, Data: []byte("hi")}); err != nil {
		t.Fatal(err)
	}
	c.hears(websocket.MessageText, "hi")
	got, err := api.GetConnection(&managementv1.GetConnectionInput{ConnectionId: &c.id})
	if err != nil || got.ConnectedAt.IsZero() || got.LastActiveAt.IsZero() || *got.Identity.SourceIp != "127.0.0.1" {
		t.Errorf("got %v %v", got, err)
	}
	code := func(err error) string {
		var known awserr.Error
		if !errors.As(err, &known) {
			return "none"
		}
		return known.Code()
	}
	_, err = api.PostToConnection(&managementv1.PostToConnectionInput{ConnectionId: &c.id, Data: make([]byte, 128<<10+1)})
	if code(err) != managementv1.ErrCodePayloadTooLargeException {
		t.Errorf("too large: %v", err)
	}
	if _, err = client("wrong").DeleteConnection(&managementv1.DeleteConnectionInput{ConnectionId: &c.id}); code(err) != "InvalidSignatureException" {
		t.Errorf("a wrong secret: %v", err)
	}
	if _, err = api.DeleteConnection(&managementv1.DeleteConnectionInput{ConnectionId: &c.id}); err != nil {
		t.Error(err)
	}
	if _, err = api.PostToConnection(&managementv1.PostToConnectionInput{ConnectionId: &c.id, Data: []byte("x")}); code(err) != managementv1.ErrCodeGoneException {
		t.Errorf("after the end: %v", err)
	}
}
