package hotsock_test

import (
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// A ledger keeps the events that messages were published.
type ledger struct {
	mu  sync.Mutex
	all []*hub.Event
	// err fails what is recorded.
	err error
}

func (l *ledger) Wants(*earshot.App, hub.EventType) bool { return true }

func (l *ledger) Record(e *hub.Event, done func(error)) {
	l.mu.Lock()
	err := l.err
	if e.Type == hub.MessagePublished && err == nil {
		l.all = append(l.all, e)
	}
	l.mu.Unlock()
	if done != nil {
		done(err)
	}
}

// take returns the one event that was recorded.
func (l *ledger) take(t *testing.T) *hub.Event {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) != 1 {
		t.Fatalf("got %d events, want 1", len(l.all))
	}
	e := l.all[0]
	l.all = nil
	return e
}

// TestPublishIsTold: what the claims say emitPubSubEvent of is told with the
// request that it came by, over the socket and over HTTP, at any node (§5.1).
func TestPublishIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, told := mem.NewStore(mem.Config{}), &ledger{}
		s, other := newTold(t, told, store, hotsock.DefaultConfig()), newNode(t, store, hotsock.DefaultConfig())
		time.Sleep(time.Second)
		c := s.connect(claims{"uid": "u", "channels": claims{"c": claims{"subscribe": true, "messages": claims{
			"told": claims{"publish": true, "echo": true, "emitPubSubEvent": true}, "quiet": claims{"publish": true, "echo": true},
		}}}})
		c.subscribe("c")
		c.send(`{"event":"quiet","channel":"c"}`)
		c.next()
		c.asks("publishMessage", `{"channel":"c","event":"quiet"}`, http.StatusAccepted, `{"channel":"c","event":"quiet"}`)
		c.next()
		c.send(`{"event":"told","channel":"c","data":1}`)
		e, heard := told.take(t), c.next()
		if o := e.Origin; o == nil || o.Trigger != hub.ByClientSocket || o.Conn != c.conn.ID() {
			t.Errorf("over the socket: got %+v", e.Origin)
		}
		if e.Channel != "c" || e.Message.Event != "told" || string(e.Message.Data) != "1" || e.Message.ID.String() != id(t, heard) || e.Message.Sender.UID != "u" {
			t.Errorf("got %+v %+v", e, e.Message)
		}
		var requests []string
		for _, node := range []*server{s, other} {
			if status, body := c.via(node, "publishMessage", `{"channel":"c","event":"told","data":2}`); status != http.StatusAccepted {
				t.Errorf("got %d %s", status, body)
			}
			e, heard := told.take(t), c.next()
			o := e.Origin
			if o == nil || o.Trigger != hub.ByClientHTTP || o.Conn != c.conn.ID() || o.Remote != netip.MustParseAddr("192.0.2.1") || o.UserAgent != "the browser of the tests" {
				t.Fatalf("over HTTP: got %+v", o)
			}
			if e.Message.ID.String() != id(t, heard) {
				t.Errorf("told of %v, want %s", e.Message.ID, heard)
			}
			requests = append(requests, o.RequestID)
		}
		if requests[0] == "" || requests[0] == requests[1] {
			t.Errorf("the requests are called %q", requests)
		}
	})
}

// TestPublishThatIsNotTold: it is not acknowledged.
func TestPublishThatIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := &ledger{}
		s := newTold(t, told, mem.NewStore(mem.Config{}), hotsock.DefaultConfig())
		c := s.connect(claims{"channels": claims{"c": claims{"messages": claims{"told": claims{"broadcast": true, "emitPubSubEvent": true}}}}})
		told.mu.Lock()
		told.err = earshot.Errorf(earshot.Unavailable, "the outbox is away")
		told.mu.Unlock()
		w := c.post("/connection/publishMessage", `{"channel":"c","event":"told"}`)
		if w.Code != http.StatusGatewayTimeout {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		c.send(`{"event":"told","channel":"c"}`)
		wantError(t, c.next(), "EVENT_NOT_RECORDED", "c")
	})
}
