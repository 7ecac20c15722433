package gateway

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxVerdict is how long an authorizer's answer may be (11.1).
const maxVerdict = 8 << 10

// sayingUnauthorized is what an authorizer says, instead of a policy, for 401.
const sayingUnauthorized = "Unauthorized"

// ReadVerdict reads what the authorizer answered to the event (8.4). An error is
// a *Failure.
func (e *Event) ReadVerdict(payload []byte) (*Verdict, error) {
	v, err := e.judge(payload)
	if err != nil {
		var f *Failure
		if errors.As(err, &f) {
			return nil, f
		}
		return nil, &Failure{AuthorizerFailed, fmt.Errorf("the authorizer's answer: %w", err)}
	}
	return v, nil
}

func (e *Event) judge(payload []byte) (*Verdict, error) {
	if len(payload) > maxVerdict {
		return nil, fmt.Errorf("it is longer than %d bytes", maxVerdict)
	}
	value := jsontext.Value(payload)
	if value.Kind() == '"' && value.IsValid() && render(value, maxVerdict) == sayingUnauthorized {
		return nil, &Failure{Unauthorized, errors.New("the authorizer said Unauthorized")}
	}
	if value.Kind() != '{' {
		return nil, errors.New("it is no object")
	}
	var said struct {
		Principal jsontext.Value `json:"principalId"`
		Policy    jsontext.Value `json:"policyDocument"`
		Context   jsontext.Value `json:"context"`
		UsageKey  *string        `json:"usageIdentifierKey"`
	}
	if err := json.Unmarshal(payload, &said); err != nil {
		return nil, err
	}
	if said.Principal.Kind() != '"' || len(said.Principal) == len(`""`) {
		return nil, errors.New("principalId is missing, or no string")
	}
	p, err := parsePolicy(said.Policy)
	if err != nil {
		return nil, err
	}
	values, err := readContext(said.Context)
	if err != nil {
		return nil, err
	}
	if !p.allows(e.Stage.API.ARN(e.Stage.Name, ConnectRoute), e.Conn.SourceIP) {
		return nil, &Failure{Denied, errors.New("the policy does not allow it")}
	}
	values["principalId"] = render(said.Principal, maxVerdict)
	v := &Verdict{Context: values}
	if said.UsageKey != nil {
		v.UsageKey = *said.UsageKey
	}
	return v, nil
}

// readContext makes texts of strings, numbers and booleans; nothing else can be
// passed on (8.4, 8.5).
func readContext(v jsontext.Value) (map[string]string, error) {
	values := map[string]string{}
	if isNull(v) {
		return values, nil
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(v, &members); err != nil {
		return nil, errors.New("context is no object")
	}
	for name, value := range members {
		switch value.Kind() {
		case '"', '0', 't', 'f':
			values[name] = render(value, maxVerdict)
		default:
			return nil, fmt.Errorf("context.%s is neither a string nor a number nor a boolean", name)
		}
	}
	delete(values, latencyName) // is the server's own figure
	return values, nil
}

// ReadRefusal reads how an authorizer failed: with exactly Unauthorized it
// refuses, all else is a fault of its own (8.4).
func ReadRefusal(message string, cause error) *Failure {
	if message == sayingUnauthorized {
		return &Failure{Unauthorized, cause}
	}
	return &Failure{AuthorizerFailed, cause}
}

// SetLatency notes how many milliseconds the authorizer took, for the event of
// the handshake.
func (v *Verdict) SetLatency(milliseconds int64) {
	v.Context[latencyName] = fmt.Sprint(milliseconds)
}
