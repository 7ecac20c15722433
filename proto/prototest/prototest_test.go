package prototest_test

import (
	"testing"

	"github.com/earshot-io/earshot/proto/prototest"
)

// TestFake shows that the seams carry what they should, on all carriers.
func TestFake(t *testing.T) {
	d := lines("")
	d.Carriers = []prototest.Carrier{
		prototest.LongPoll, prototest.WebSocket, prototest.WebSocketGoroutines, prototest.WebSocketTLS,
		prototest.Stream, prototest.StreamTLS,
	}
	prototest.Run(t, d)
}
