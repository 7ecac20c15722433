package gateway

import (
	"fmt"
	"strings"
)

// A Target is what an integration or authorizer calls: a function or an address.
type Target struct {
	// Function is nil for an address, and URL empty for a function.
	Function *Function
	URL      string
}

// A Function is what an ARN says of a Lambda function.
type Function struct {
	// ARN is as it was written, Name the function's own name.
	ARN, Name string
	// Qualifier is a version or alias, Region where it is; empty if not said.
	Qualifier, Region string
}

// functionTarget reads a function's ARN or name, by itself or in the form that API
// Gateway has for it.
func functionTarget(uri string) (*Target, error) {
	if _, after, ok := strings.Cut(uri, "/functions/"); ok {
		uri, ok = strings.CutSuffix(after, "/invocations")
		if !ok {
			return nil, fmt.Errorf("%q: /invocations is missing at its end", after)
		}
	}
	f := &Function{ARN: uri, Name: uri}
	switch parts := strings.Split(uri, ":"); {
	case len(parts) == 1:
	case len(parts) == 2: // name:alias
		f.Name, f.Qualifier = parts[0], parts[1]
	case parts[0] == "arn" && len(parts) >= 7 && len(parts) <= 8 && parts[2] == "lambda" && parts[5] == "function":
		f.Region, f.Name = parts[3], parts[6]
		if len(parts) == 8 {
			f.Qualifier = parts[7]
		}
	case len(parts) <= 4 && parts[1] == "function": // account:function:name
		f.Name = parts[2]
		if len(parts) == 4 {
			f.Qualifier = parts[3]
		}
	default:
		return nil, fmt.Errorf("%q is no function's ARN", uri)
	}
	if f.Region != "" && !isRegion(f.Region) {
		return nil, fmt.Errorf("%q names no region", uri)
	}
	if strings.HasSuffix(uri, ":") || !isFunctionName(f.Name) || f.Qualifier != "" && !isFunctionName(strings.TrimPrefix(f.Qualifier, "$")) {
		return nil, fmt.Errorf("%q is no function's ARN or name", uri)
	}
	return &Target{Function: f}, nil
}

func isFunctionName(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 140
}

// isRegion reports whether a text can be a region's name, which becomes a part of
// addresses.
func isRegion(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

const variableOpen = "${stageVariables."

// substitute puts stage variables into their places: ${stageVariables.x}.
func (s *Stage) substitute(text string) (string, error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, variableOpen)
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("a closing brace is missing behind %s", variableOpen)
		}
		value, known := s.Variables[name]
		if !known {
			return "", fmt.Errorf("the stage has no variable %q", name)
		}
		b.WriteString(value)
		text = rest
	}
}
