// Package enginetest holds the promises that an engine keeps, as tests: Run
// runs them all on the nodes that a Maker opens.
//
// What an engine cannot be made to do in a test (cut a link, lose its leader)
// it names in Maker.Lacks with the reason; the promises that need it are then
// skipped by name, and a capability that is neither there nor named fails.
package enginetest
