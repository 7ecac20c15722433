package app

import (
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/proto/gateway"
	"github.com/earshot-io/earshot/proto/hotsock"
	"github.com/earshot-io/earshot/proto/notiflux"
	"github.com/earshot-io/earshot/proto/phoenix"
)

// Protocols are all that the server speaks.
func Protocols() []proto.Entry {
	return []proto.Entry{hotsock.Entry(), notiflux.Entry(), phoenix.Entry(), gateway.Entry()}
}
