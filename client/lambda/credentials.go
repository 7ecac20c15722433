package lambda

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/earshot-io/earshot/client"
)

// idleConnections is how many connections wait for the next call.
const idleConnections = 64

func newHTTPClient(c client.Config) *http.Client {
	if c.HTTPClient != nil {
		return c.HTTPClient
	}
	return &http.Client{
		Transport: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = idleConnections
		}).GetTransport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// load reads what the SDK reads, with the Config over it.
func load(ctx context.Context, c client.Config, h *http.Client) (aws.Config, error) {
	if err := client.Need("AWSRegion", c.AWSRegion, "publishing over AWS Lambda needs the region"); err != nil {
		return aws.Config{}, err
	}
	options := []func(*config.LoadOptions) error{config.WithRegion(c.AWSRegion), config.WithHTTPClient(h)}
	if c.AWSAccessKeyID != "" || c.AWSSecretAccessKey != "" {
		if err := both(c); err != nil {
			return aws.Config{}, err
		}
		fixed := credentials.NewStaticCredentialsProvider(c.AWSAccessKeyID, c.AWSSecretAccessKey, "")
		options = append(options, config.WithCredentialsProvider(fixed))
	}
	settings, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, err
	}
	if c.AWSAssumeRoleARN != "" {
		settings.Credentials = assume(settings, c)
	}
	return settings, nil
}

func both(c client.Config) error {
	const why = "an access key is an id and a secret"
	if err := client.Need("AWSAccessKeyID", c.AWSAccessKeyID, why); err != nil {
		return err
	}
	return client.Need("AWSSecretAccessKey", c.AWSSecretAccessKey, why)
}

// assume returns the role's credentials, got with those of the settings and
// renewed before they run out.
func assume(settings aws.Config, c client.Config) aws.CredentialsProvider {
	role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(settings), c.AWSAssumeRoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = c.AWSAssumeRoleSessionName
		if o.RoleSessionName == "" {
			o.RoleSessionName = sessionName()
		}
		if c.AWSAssumeRoleExternalID != "" {
			o.ExternalID = &c.AWSAssumeRoleExternalID
		}
	})
	return aws.NewCredentialsCache(role)
}

const module = "github.com/earshot-io/earshot"

// sessionName is earshot-go- and the version of this module, of the letters and
// within the length that AWS asks for.
func sessionName() string {
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module {
				version = m.Version
			}
		}
	}
	if version == "" || version == "(devel)" {
		version = "devel"
	}
	name := "earshot-go-" + strings.TrimPrefix(version, "v")
	return name[:min(len(name), 64)]
}

// unanswered marks what failed before anything was sent: without credentials
// nothing is signed.
func unanswered(err error) error {
	var unsigned *v4.SigningError
	if errors.As(err, &unsigned) {
		return &client.Error{Code: "CREDENTIALS", Message: "there are no credentials to call with: " + err.Error(), Err: err}
	}
	return err
}
