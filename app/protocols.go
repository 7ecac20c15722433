package app

import (
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// Protocols are all that the server speaks.
func Protocols() []proto.Entry {
	return []proto.Entry{hotsock.Entry()}
}
