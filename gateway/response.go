package gateway

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/earshot-io/earshot"
)

// A response is a compiled integration response.
type response struct {
	earshot.GatewayResponse
	fits *[lastStatus + 1]bool // nil for $default
}

const lastStatus = 599

// Bounds of an expression that a status has to fit, which has three digits: how long
// it is, and how often it may repeat something.
const (
	maxPattern = 256
	maxRepeat  = 100
)

// statusPattern compiles the key of an integration response, an expression in slashes.
func statusPattern(key string) (*regexp.Regexp, error) {
	if len(key) < 3 || len(key) > maxPattern || !strings.HasPrefix(key, "/") || !strings.HasSuffix(key, "/") {
		return nil, fmt.Errorf("the key is $default, or an expression in slashes of up to %d bytes", maxPattern)
	}
	text := key[1 : len(key)-1]
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if repeats(tree) > maxRepeat {
		return nil, fmt.Errorf("it repeats something more than %d times", maxRepeat)
	}
	return regexp.Compile("^(?:" + text + ")$")
}

// repeats is how often an expression may repeat a part of it, with what is repeated
// within that.
func repeats(x *syntax.Regexp) int {
	most := 1
	for _, sub := range x.Sub {
		most = max(most, repeats(sub))
	}
	if x.Op == syntax.OpRepeat {
		most *= max(x.Min, x.Max, 1)
	}
	return most
}

// statuses are those that an expression fits.
func statuses(x *regexp.Regexp) *[lastStatus + 1]bool {
	fits := &[lastStatus + 1]bool{}
	for status := range fits {
		fits[status] = validStatus(status) && x.MatchString(strconv.Itoa(status))
	}
	return fits
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
		x, err := statusPattern(r.Key)
		if err != nil {
			return nil, fmt.Errorf("integration response %q: %w", r.Key, err)
		}
		made = append(made, response{r, statuses(x)})
	}
	return made, nil
}

// response returns the one for a status, nil if there is none.
func (r *Route) response(status int) *response {
	var otherwise *response
	for i := range r.responses {
		switch one := &r.responses[i]; {
		case one.fits == nil:
			otherwise = one
		case status >= 0 && status <= lastStatus && one.fits[status]:
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
