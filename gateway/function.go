package gateway

import (
	"iter"
	"maps"
	"slices"
)

// FunctionName returns the name of the function that an integration or authorizer
// names: by its ARN, in the form that API Gateway has for invoking it (2), by
// account and name, or by its name; each perhaps with a version or alias behind
// it, which does not matter here. It reports whether s is one of these.
func FunctionName(s string) (name string, ok bool) {
	t, err := functionTarget(s)
	if err != nil {
		return "", false
	}
	return t.Function.Name, true
}

// sorted ranges over a map in the order of its keys.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
