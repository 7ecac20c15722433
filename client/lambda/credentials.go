package lambda

import (
	"context"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/earshot-io/earshot/client"
)

// idleConnections is how many connections wait for the next call.
const idleConnections = 64

// newHTTPClient is the program's client, or one whose connections we can close,
// with what the settings say of certificates (AWS_CA_BUNDLE).
func newHTTPClient(c client.Config, settings aws.Config) (made *http.Client, ours bool) {
	if c.HTTPClient != nil {
		return c.HTTPClient, false
	}
	of, ok := settings.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		of = awshttp.NewBuildableClient()
	}
	transport := of.GetTransport()
	transport.MaxIdleConnsPerHost = idleConnections
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, true
}

// load reads what the SDK reads, with the Config over it.
func load(ctx context.Context, c client.Config) (aws.Config, error) {
	if err := client.Need("AWSRegion", c.AWSRegion, "publishing over AWS Lambda needs the region"); err != nil {
		return aws.Config{}, err
	}
	options := []func(*config.LoadOptions) error{config.WithRegion(c.AWSRegion)}
	if c.AWSAccessKeyID != "" || c.AWSSecretAccessKey != "" {
		if err := both(c); err != nil {
			return aws.Config{}, err
		}
		fixed := credentials.NewStaticCredentialsProvider(c.AWSAccessKeyID, c.AWSSecretAccessKey, "")
		options = append(options, config.WithCredentialsProvider(fixed))
	}
	return config.LoadDefaultConfig(ctx, options...)
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
