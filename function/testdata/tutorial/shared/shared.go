// Package shared is no function.
package shared
