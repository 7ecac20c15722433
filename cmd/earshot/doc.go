// Command earshot is the server and everything that is typed around it. Each
// command has a file; what they share is in main.go.
//
// The exit code is 0 if it went well, 1 if it did not, and 2 if the command
// line was not understood. Results go to standard output, everything else to
// standard error.
package main
