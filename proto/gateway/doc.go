// Package gateway speaks with the clients of WebSocket APIs of Amazon API Gateway.
package gateway
