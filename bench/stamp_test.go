package bench

import (
	"encoding/json"
	"testing"
	"time"
)

func TestStamp(t *testing.T) {
	for _, s := range []stamp{
		{},
		{sent: 1, publisher: 2, channel: 3, number: 4, slot: noSlot},
		{sent: 48 * time.Hour, publisher: maxPublishers - 1, channel: maxChannels - 1, number: 1<<30 - 1, slot: 63},
	} {
		data := appendData(nil, s, 128)
		if len(data) != 128 || !json.Valid(data) {
			t.Errorf("data of %d bytes: %s", len(data), data)
		}
		got, ok := findStamp(append([]byte(`{"id":"x","data":`), data...))
		if !ok || got != s {
			t.Errorf("%+v came back as %+v, %v", s, got, ok)
		}
	}
	if n := len(appendData(nil, stamp{}, minData)); n != minData {
		t.Errorf("the smallest data has %d bytes, not %d", n, minData)
	}
}

func TestNoStamp(t *testing.T) {
	whole := string(stamp{sent: 5}.append(nil))
	for _, text := range []string{"", "~", whole[:len(whole)-1], whole[:5] + "." + whole[6:], `{"event":"hotsock.connected"}`} {
		if s, ok := findStamp([]byte(text)); ok {
			t.Errorf("%q holds %+v", text, s)
		}
	}
}
