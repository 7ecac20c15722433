package gateway

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/earshot-io/earshot"
)

// A response is a compiled integration response.
type response struct {
	earshot.GatewayResponse
	fits *regexp.Regexp // nil for $default
}

// parseResponses compiles integration responses, whose keys are $default or an
// expression in slashes that the whole status has to fit.
func parseResponses(all []earshot.GatewayResponse) ([]response, error) {
	var made []response
	for _, r := range all {
		if r.Status != 0 && !validStatus(r.Status) {
			return nil, fmt.Errorf("integration response %s: statusCode: it is 200 to 599", r.Key)
		}
		if r.Key == DefaultRoute {
			made = append(made, response{r, nil})
			continue
		}
		if len(r.Key) < 3 || !strings.HasPrefix(r.Key, "/") || !strings.HasSuffix(r.Key, "/") {
			return nil, fmt.Errorf("integration response %q: the key is $default, or an expression in slashes", r.Key)
		}
		re, err := regexp.Compile("^(?:" + r.Key[1:len(r.Key)-1] + ")$")
		if err != nil {
			return nil, fmt.Errorf("integration response %s: %w", r.Key, err)
		}
		made = append(made, response{r, re})
	}
	return made, nil
}

// response returns the one for a status, nil if there is none.
func (r *Route) response(status int) *response {
	text := strconv.Itoa(status)
	var otherwise *response
	for i := range r.responses {
		switch one := &r.responses[i]; {
		case one.fits == nil:
			otherwise = one
		case one.fits.MatchString(text):
			return one
		}
	}
	return otherwise
}

// apply changes an answer as the response says, and returns the body.
func (r *response) apply(a *Answer, body []byte) []byte {
	if r.Status != 0 {
		a.Status = r.Status
	}
	if r.Body != nil {
		return []byte(*r.Body)
	}
	return body
}
