package sigv4

import "github.com/earshot-io/earshot"

// The reasons of the errors of this package, all of code Unauthenticated.
const (
	// Missing is a request without a signature.
	Missing = "SIGNATURE_MISSING"
	// Incomplete is a signature that lacks something or cannot be read.
	Incomplete = "SIGNATURE_INCOMPLETE"
	// Wrong is a signature of another request, secret or service.
	Wrong = "SIGNATURE_WRONG"
	// Expired is a signature whose time is over, Early one whose time has not come.
	Expired = "SIGNATURE_EXPIRED"
	Early   = "SIGNATURE_EARLY"
	// UnknownKey is an access key that nobody has.
	UnknownKey = "ACCESS_KEY_UNKNOWN"
)

// Exception is what AWS calls a reason of this package: the x-amzn-ErrorType
// that its SDKs know. It is empty for any other reason.
func Exception(reason string) string {
	switch reason {
	case Missing:
		return "MissingAuthenticationTokenException"
	case Incomplete:
		return "IncompleteSignatureException"
	case Wrong, Expired, Early:
		return "InvalidSignatureException"
	case UnknownKey:
		return "UnrecognizedClientException"
	}
	return ""
}

// ErrUnknownKey is for a caller that does not know the key of a signature.
func ErrUnknownKey() error {
	return refused(UnknownKey, "The security token included in the request is invalid.")
}

func refused(reason, text string) error {
	return &earshot.Error{Code: earshot.Unauthenticated, Reason: reason, Text: text}
}

func errMissing() error { return refused(Missing, "Missing Authentication Token") }

func errIncomplete(text string) error { return refused(Incomplete, text) }

// errWrong is the text that everybody knows who ever had a wrong secret.
func errWrong() error {
	return refused(Wrong, "The request signature we calculated does not match the signature you provided. "+
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}
