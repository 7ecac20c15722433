package client

import (
	"net/http"
	"time"
)

// A Config is what a program says once about the server and about its tokens.
// Of the fields only those are needed that are used: a program that publishes
// sets either URL and PublishKey or, with package client/lambda,
// PublishFunctionARN and AWSRegion; one that issues tokens IssuerPrivateKey.
//
// A Config is a value; a program may have as many as it talks to installations.
type Config struct {
	// URL is where the server answers HTTP, as in https://rt.example.com. Needed
	// to publish over HTTP.
	URL string
	// PublishKey is a publish key of the app. Needed to publish over HTTP.
	PublishKey string
	// HTTPClient is the client to publish with. Without it, the publisher has one
	// of its own, which keeps connections and follows no redirects.
	HTTPClient *http.Client
	// Timeout bounds each try to publish; without it, 15 seconds.
	Timeout time.Duration
	// Tries is how often a publish is tried at the most if repeating it is safe;
	// without it 3, with 1 never again.
	Tries int

	// PublishFunctionARN is the ARN or name of the function that publishes. Needed
	// to publish over AWS Lambda.
	PublishFunctionARN string
	// AWSRegion is the region of the installation, as in us-east-1. Needed to
	// publish over AWS Lambda.
	AWSRegion string
	// AWSEndpointURL is where to call Lambda, as in https://rt.example.com. Without
	// it AWS_ENDPOINT_URL_LAMBDA counts, and what else the AWS SDK reads.
	AWSEndpointURL string
	// AWSAccessKeyID and AWSSecretAccessKey are the credentials of a user, both or
	// neither. Without them the AWS SDK looks where it always does: environment,
	// shared files, the role of the task, function or machine.
	AWSAccessKeyID     string
	AWSSecretAccessKey string
	// AWSAssumeRoleARN is the role to assume for publishing, with those credentials.
	AWSAssumeRoleARN string
	// AWSAssumeRoleSessionName is the session's name with that role; without it,
	// earshot-go- and the version of this module.
	AWSAssumeRoleSessionName string
	// AWSAssumeRoleExternalID is the external id that the role asks for, if it does.
	AWSAssumeRoleExternalID string

	// IssuerPrivateKey is the key that signs tokens. Needed to issue them. Of an HMAC
	// algorithm it is the secret, byte for byte. Of the others it is a private key:
	// PKCS #8, PKCS #1 or SEC 1 under any label, not encrypted, in PEM, DER or base64
	// of either; a line break may be written as \n or be missing.
	IssuerPrivateKey string
	// IssuerPrivateKeyBase64 says that IssuerPrivateKey is base64. An HMAC secret in
	// base64 needs it, as a secret may look like base64 and be none.
	IssuerPrivateKeyBase64 bool
	// IssuerKeyAlgorithm is the algorithm: HS, RS, PS or ES with 256, 384 or 512, or
	// EdDSA. Without it, ES256.
	IssuerKeyAlgorithm string
	// IssuerKeyID becomes the kid of every token.
	IssuerKeyID string
	// IssuerAudClaim becomes the aud of tokens that do not say theirs.
	IssuerAudClaim string
	// IssuerIatClaim gives tokens that do not say theirs an iat, the time of issue.
	IssuerIatClaim bool
	// IssuerIssClaim becomes the iss of tokens that do not say theirs.
	IssuerIssClaim string
	// IssuerJtiClaim gives tokens that do not say theirs a jti, a random UUID.
	IssuerJtiClaim bool
	// IssuerTokenTTL gives tokens that do not say theirs an exp, so long after the
	// time of issue. It counts in whole seconds; less than one is refused.
	IssuerTokenTTL time.Duration

	// Transport carries messages in another way than HTTP; package client/lambda
	// sets it.
	Transport Transport
}

// A ConfigError is a field of a Config that is missing or wrong.
type ConfigError struct {
	// Field is its name.
	Field string
	// Text says what is wrong with it. It never shows a secret.
	Text string
	// Err is the cause, if there is one.
	Err error
}

// Error names the field and says what is wrong.
func (e *ConfigError) Error() string {
	s := "client: Config." + e.Field + " " + e.Text
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// Need returns a ConfigError if a field's value is empty.
func Need(field, value, why string) error {
	if value == "" {
		return &ConfigError{Field: field, Text: "is missing: " + why}
	}
	return nil
}
