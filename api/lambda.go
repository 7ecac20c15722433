package api

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth/sigv4"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json/jsontext"
)

// The paths of Lambda's API, by its versions.
const (
	lambdaPath    = "/2015-03-31/functions/"
	lambdaStreams = "/2021-11-15/functions/"
	invocations   = "/invocations"
)

// ByLambda is the trigger of what came through Lambda's API.
const ByLambda hub.Trigger = "server.lambda"

// Lambda answers what AWS's SDKs send to Lambda, with any prefix before its
// paths, and to STS; everything else is next's. It stands before a ServeMux,
// which would redirect the paths that some SDKs send, with two slashes.
func (a *API) Lambda(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		switch at := strings.LastIndex(path, lambdaPath); {
		case at >= 0:
			a.serveLambda(w, r, path[at+len(lambdaPath):])
		case strings.Contains(path, lambdaStreams):
			a.serveLambda(w, r, "")
		case forSTS(r):
			refuseSTS(w)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// serveLambda answers a request for what comes behind lambdaPath.
func (a *API) serveLambda(w http.ResponseWriter, r *http.Request, rest string) {
	in := &invocation{api: a, w: w, r: r, origin: a.origin(r, ByLambda)}
	w.Header().Set("X-Amzn-Requestid", in.origin.RequestID)
	escaped, found := strings.CutSuffix(rest, invocations)
	if !found || r.Method != http.MethodPost || escaped == "" || strings.Contains(escaped, "/") {
		in.refuse(errUnknownOperation())
		return
	}
	name, err := url.PathUnescape(escaped)
	if err != nil {
		in.refuse(errFunctionName())
		return
	}
	if in.name, err = functionName(name); err == nil {
		err = in.serve()
	}
	if err != nil {
		in.refuse(err)
	}
}

// An invocation is one call of a function.
type invocation struct {
	api    *API
	w      http.ResponseWriter
	r      *http.Request
	origin *hub.Origin
	name   string // of the function
	app    *earshot.App
}

func (in *invocation) serve() error {
	if err := in.api.ready(); err != nil {
		return &earshot.Error{Code: earshot.Unavailable, Reason: "NOT_READY", Text: "the server is " + err.Error(), RetryAfter: retrySoon}
	}
	body, err := in.authenticate()
	in.api.countSigned(in.app, err)
	if err == nil {
		err = in.api.gate.Request(in.r, in.app)
	}
	if err != nil {
		return err
	}
	kind := in.r.Header.Get("X-Amz-Invocation-Type")
	switch kind {
	case "", "RequestResponse", "Event":
	case "DryRun":
		in.w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		return exceptionOf(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value at 'invocationType' failed to satisfy "+
			"constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]")
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	if in.hosted() {
		return in.call(body, kind == "Event")
	}
	out := in.api.publishAll(in.r.Context(), in.source(), []jsontext.Value{body})[0]
	if out.err != nil {
		return in.fault(out, kind == "Event")
	}
	if kind == "Event" {
		in.w.WriteHeader(http.StatusAccepted)
		return nil
	}
	in.w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	write(in.w, http.StatusOK, out.result())
	return nil
}

// source is where the order comes from. An SDK sends the same invocation id with
// every attempt of one call, so that the attempts count once.
func (in *invocation) source() source {
	from := source{app: in.app, origin: in.origin}
	if id := in.r.Header.Get("Amz-Sdk-Invocation-Id"); id != "" && len(id) <= 128 {
		from.once = "amz-sdk-invocation-id " + id
	}
	return from
}

// authenticate finds who signed the request, for which app, and reads the body,
// which is part of what is signed.
func (in *invocation) authenticate() ([]byte, error) {
	signature, err := sigv4.Parse(in.r)
	var key *earshot.AccessKey
	if err == nil {
		in.app, key = in.api.apps.ByAccessKey(signature.KeyID)
	}
	if key == nil {
		if in.app = in.unsigned(); in.app != nil {
			return in.body()
		}
		if err == nil {
			err = sigv4.ErrUnknownKey()
		}
		return nil, err
	}
	body, err := in.body()
	if err != nil {
		return nil, err
	}
	if in.app, key = in.api.apps.ByAccessKey(signature.KeyID); key == nil {
		return nil, sigv4.ErrUnknownKey() // it was taken away while the body came
	}
	if err := signature.Verify(in.r, body, key.Secret, time.Now(), sigv4.Policy{Service: "lambda"}); err != nil {
		return nil, err
	}
	if named := in.api.apps.ByHost(in.r.Host); named != nil && named != in.app {
		return nil, errMayNotInvoke(signature, in.name, "the access key is not of the app that this host belongs to")
	}
	if !key.Allows(earshot.InvokeFunction, in.name) {
		return nil, errMayNotInvoke(signature, in.name, "the access key does not allow the lambda:InvokeFunction action on it")
	}
	return body, nil
}

// unsigned returns the app that takes the request without a signature that it
// knows, nil for none: that of its host, if it comes from a network of the app's.
func (in *invocation) unsigned() *earshot.App {
	app := in.api.apps.ByHost(in.r.Host)
	if app == nil {
		app = in.api.apps.Default()
	}
	if app == nil || !slices.ContainsFunc(app.Unsigned, func(n netip.Prefix) bool { return n.Contains(in.origin.Remote) }) {
		return nil
	}
	return app
}

// functionName returns the name of a function by its name or ARN, without its
// version: that of a published function means nothing here.
func functionName(s string) (string, error) {
	parts := strings.Split(s, ":")
	switch n := len(parts); {
	case (n == 7 || n == 8) && parts[0] == "arn" && parts[2] == "lambda" && parts[5] == "function":
		parts = parts[6:] // arn:aws:lambda:REGION:ACCOUNT:function:NAME[:VERSION]
	case (n == 3 || n == 4) && parts[1] == "function":
		parts = parts[2:] // ACCOUNT:function:NAME[:VERSION]
	case n > 2:
		return "", errFunctionName()
	}
	name := parts[0]
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	if name == "" || len(s) > 170 || strings.Trim(name, letters) != "" {
		return "", errFunctionName()
	}
	return name, nil
}
