package prototest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/coder/websocket"

	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/proto"
	"github.com/earshot-io/earshot/transport"
	"github.com/earshot-io/earshot/ws"
)

// sockets carries dialogues on package ws. Its clients are those of another
// implementation of the WebSocket protocol.
type sockets struct {
	w         *world
	transport *transport.Transport
	server    *httptest.Server
}

// A socket is one client.
type socket struct {
	conn    *websocket.Conn
	in      *inbox
	out     *outbox
	gate    *gate
	ctx     context.Context
	cancel  context.CancelFunc
	reading sync.WaitGroup
}

func newSockets(w *world, log *slog.Logger) (dialer, error) {
	t, err := newTransport(w, log)
	if err != nil {
		return nil, err
	}
	s := &sockets{w: w, transport: t}
	entry := proto.Entry{Name: "tested", Paths: paths(w.d)}
	upgrades, err := ws.New(ws.Config{PingEvery: -1}, ws.Deps{
		Hub: w.hub, Transport: t, Limits: transport.NewLimits(transport.LimitConfig{}), Apps: w.apps, Log: log,
	}, []ws.Endpoint{{Entry: entry, Protocol: w.protocol}})
	if err != nil {
		closeTransport(w, t)
		return nil, err
	}
	s.server = httptest.NewUnstartedServer(upgrades.Handler(http.NotFoundHandler()))
	door := transport.NewDoor(0)
	door.Guard(s.server.Config)
	s.server.Listener = door.Listen(s.server.Listener, nil)
	if w.carrier == WebSocketTLS {
		s.server.StartTLS()
	} else {
		s.server.Start()
	}
	return s, nil
}

// paths are where the dialect's clients connect to.
func paths(d *Dialect) []string {
	all := []string{path(d.Hello(Client{App: appOne}, WebSocket))}
	if d.Refused != nil {
		if p := path(d.Refused()); p != all[0] {
			all = append(all, p)
		}
	}
	return all
}

// path is the path of a Hello without its query.
func path(h Hello) string { return request(h).HTTP.URL.Path }

func (s *sockets) close() {
	s.server.Close()
	closeTransport(s.w, s.transport)
}

func (s *sockets) dial(h Hello) (wire, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.w.patience())
	defer cancel()
	conn, answer, err := websocket.Dial(ctx, s.server.URL+h.Path, &websocket.DialOptions{
		HTTPClient: s.server.Client(), HTTPHeader: h.Header, Subprotocols: h.Subprotocols,
	})
	if err != nil {
		if answer == nil || answer.StatusCode == http.StatusSwitchingProtocols {
			return nil, "", err
		}
		body, err := io.ReadAll(answer.Body)
		return nil, "", &refusal{status: answer.StatusCode, header: answer.Header, body: body, err: err}
	}
	conn.SetReadLimit(-1)
	return newSocket(conn), conn.Subprotocol(), nil
}

func newSocket(conn *websocket.Conn) *socket {
	k := &socket{conn: conn, in: newInbox(), gate: newGate()}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.out = newOutbox(k.write, func() {})
	k.reading.Go(k.read)
	return k
}

func (k *socket) write(ms []message) {
	for _, m := range ms {
		kind := websocket.MessageText
		if m.Op == hub.Binary {
			kind = websocket.MessageBinary
		}
		if k.conn.Write(k.ctx, kind, m.Data) != nil {
			return // the reader finds out why
		}
	}
}

func (k *socket) read() {
	for k.gate.pass(k.ctx) {
		kind, data, err := k.conn.Read(k.ctx)
		var said websocket.CloseError
		switch {
		case errors.As(err, &said):
			k.in.end(parting{int(said.Code), said.Reason})
			return
		case err != nil:
			k.in.end(parting{})
			return
		}
		m := message{Data: data}
		if kind == websocket.MessageBinary {
			m.Op = hub.Binary
		}
		k.in.put(m)
	}
}

func (k *socket) send(m message) { k.out.put(m) }

func (k *socket) box() *inbox { return k.in }

func (k *socket) stall(yes bool) { k.gate.stall(yes) }

func (k *socket) leave(code int, reason string) {
	k.out.end()
	<-k.out.done
	// An answer that does not come is seen in what the server's session is told.
	_ = k.conn.Close(websocket.StatusCode(code), reason)
}

func (k *socket) drop() {
	k.cancel()
	_ = k.conn.CloseNow() // it may be closed
	k.out.end()
	<-k.out.done
	k.reading.Wait()
}
