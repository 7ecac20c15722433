// Package lambda publishes over AWS Lambda Invoke, as the Ruby library does:
// to an installation on AWS, or to any server that answers for it.
//
//	p, err := lambda.NewPublisher(ctx, client.Config{
//		PublishFunctionARN: "arn:aws:lambda:us-east-1:111111111111:function:Publish",
//		AWSRegion:          "us-east-1",
//	})
//
// AWS_ENDPOINT_URL_LAMBDA, or the Config's AWSEndpointURL, points it at another
// server; without either it calls AWS. It is a package of its own because the
// AWS SDK adds 4 MB to a program, which one that publishes over HTTP need not
// carry.
//
// Credentials are those of the Config, else those that the SDK finds; with a
// role to assume, that role's. They are renewed when they run out. Retrying is
// the Publisher's, not the SDK's: the SDK would repeat what may have been
// published already.
//
// A refusal of the service is a *client.Error whose Code is the name of the
// exception, as in AccessDeniedException. A failure of the function itself,
// which the service reports with 200 and the header X-Amz-Function-Error, is one
// with the function's errorType as Code, or FUNCTION_ERROR if it has none, and
// that header as Reason: a Go program expects an error where nothing was
// published, unlike a Ruby one, which is handed the response. A 5xx leaves open
// whether the message was published, as over Lambda nobody says so.
package lambda
