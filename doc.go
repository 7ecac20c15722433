// Package earshot holds the words every part of Earshot speaks: the message
// and its identifier, channel names and patterns, who a client is and what it
// may do, applications with their channel rules, and errors.
//
// The package imports nothing else of the project and decides nothing about
// bytes on a wire: protocols, engines and transports translate to and from it.
// All values are plain data. A *Message, *Identity or *App that has been handed
// on is shared between goroutines and never changed again.
package earshot
