package hotsock

import (
	"testing"

	"github.com/earshot-io/earshot/hub"
)

// BenchmarkParse reads one publish.
func BenchmarkParse(b *testing.B) {
	var p parser
	in := hub.Input{Data: []byte(`{"event":"greeting","channel":"live.room.17","data":{"text":"hello everybody in this room","at":1700000000000,"from":"somebody","more":[1,2,3]}}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.parse(in); err != nil {
			b.Fatal(err)
		}
	}
}
