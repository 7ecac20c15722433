// Package auth turns proof into identity: it knows the applications with their
// keys, verifies tokens and bearer keys, and sees that a single-use token is
// used once. It decides nothing about channels: earshot.Identity does.
package auth
