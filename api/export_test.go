package api

import "github.com/earshot-io/earshot"

// KnowsCode reports whether a code has a status of its own.
func KnowsCode(c earshot.Code) bool {
	_, ok := status(c)
	return ok
}
