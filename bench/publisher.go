package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// A publisher sends what the desk hands out over one connection.
type publisher struct {
	desk   *desk
	number uint32   // of the publisher
	names  []string // of the channels
	sent   []uint32 // to each channel, so far
	conn   net.Conn
	random *rand.Rand
	write  func(orders []order) error

	// of HTTP
	host, key string
	answers   *bufio.Reader
	body, req []byte

	// of WebSocket
	mu     sync.Mutex // one writer at a time
	frames []byte
	text   []byte
	ended  chan error // the reader's, once
	wait   sync.WaitGroup
}

func newPublisher(d *desk, number int, names []string) *publisher {
	return &publisher{
		desk: d, number: uint32(number), names: names, sent: make([]uint32, len(names)),
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
}

// run publishes until the desk says it is over.
func (p *publisher) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.conn.Close() })
	defer stop()
	var orders []order
	for {
		var more bool
		if orders, more = p.desk.take(ctx, orders[:0]); !more {
			return nil
		}
		if err := p.write(orders); err != nil {
			return fmt.Errorf("publishing: %w", p.why(err))
		}
	}
}

// why prefers what the server said to the failure of the write.
func (p *publisher) why(err error) error {
	select {
	case said := <-p.ended:
		return errors.Join(err, said)
	default:
		return err
	}
}

// close ends the connection, and waits for who reads it.
func (p *publisher) close() {
	if p.conn != nil {
		_ = p.conn.Close()
	}
	p.wait.Wait()
}

// appendMessage appends one message as both ways of publishing take it, and as
// the floor sends it on.
func (p *publisher) appendMessage(b []byte, o order) []byte {
	s := stamp{sent: p.desk.sentAt(o), publisher: p.number, channel: o.channel, number: p.sent[o.channel], slot: o.slot}
	p.sent[o.channel]++
	b = append(append(b, `{"event":"bench","channel":`...), strconv.Quote(p.names[o.channel])...)
	if p.desk.plan.HTTP && p.desk.plan.Store > 0 {
		b = strconv.AppendInt(append(b, `,"store":`...), int64(p.desk.plan.Store), 10)
	}
	b = append(b, `,"data":`...)
	return append(appendData(b, s, p.desk.plan.Size), '}')
}

// dialHTTP makes a publisher by POST /publish at host:port.
func (p *publisher) dialHTTP(ctx context.Context, host, key string) error {
	addr, err := resolve(host, "80")
	if err != nil {
		return err
	}
	if p.conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr.String()); err != nil {
		return err
	}
	p.host, p.key, p.answers, p.write = host, key, bufio.NewReader(p.conn), p.post
	return nil
}

// post sends one request: a message, or an array of them, and waits for the answer.
func (p *publisher) post(orders []order) error {
	p.body = p.body[:0]
	for i, o := range orders {
		if i > 0 {
			p.body = append(p.body, ',')
		} else if p.desk.plan.Batch > 1 {
			p.body = append(p.body, '[')
		}
		p.body = p.appendMessage(p.body, o)
	}
	if p.desk.plan.Batch > 1 {
		p.body = append(p.body, ']')
	}
	p.req = fmt.Appendf(p.req[:0], "POST /publish HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", p.host, p.key, len(p.body))
	p.req = append(p.req, p.body...)
	if _, err := p.conn.Write(p.req); err != nil {
		return err
	}
	return p.answer()
}

func (p *publisher) answer() error {
	r, err := http.ReadResponse(p.answers, nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	// 207 says that a part of a batch failed.
	if r.StatusCode/100 != 2 || r.StatusCode == http.StatusMultiStatus {
		said, _ := io.ReadAll(io.LimitReader(r.Body, 512))
		return fmt.Errorf("POST /publish is answered %s: %s", r.Status, said)
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

// dialWS makes a publisher over a WebSocket connection.
func (p *publisher) dialWS(ctx context.Context, to *endpoint) error {
	var err error
	if p.conn, err = new(net.Dialer).DialContext(ctx, "tcp", to.addr.String()); err != nil {
		return err
	}
	if _, err := p.conn.Write(to.request); err != nil {
		return err
	}
	in := bufio.NewReaderSize(p.conn, 4096)
	r, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Accept") != to.accept {
		return fmt.Errorf("the handshake was refused: %s", r.Status)
	}
	connected := make(chan struct{})
	p.ended, p.write = make(chan error, 1), p.send
	p.wait.Go(func() { p.listen(in, connected) })
	select {
	case <-connected:
		return nil
	case err := <-p.ended:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send writes the messages as frames, in one write.
func (p *publisher) send(orders []order) error {
	p.frames = p.frames[:0]
	for _, o := range orders {
		p.text = p.appendMessage(p.text[:0], o)
		p.frames = appendClient(p.frames, opText, p.text, p.random.Uint32())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.conn.Write(p.frames)
	return err
}

// listen reads what the server sends to the publisher until the connection is
// closed, and answers pings.
func (p *publisher) listen(r *bufio.Reader, connected chan<- struct{}) {
	l := listener{p: p, connected: connected}
	var in inbound
	var rest []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		if err == nil {
			rest = append(rest, buf[:n]...)
			n, err = in.feed(rest, &l)
			rest = append(rest[:0], rest[n:]...)
		}
		if err != nil {
			p.ended <- err
			_ = p.conn.Close()
			return
		}
	}
}

// A listener hears what the server says to a publisher.
type listener struct {
	p         *publisher
	connected chan<- struct{} // nil once closed
}

func (l *listener) message(m []byte) error {
	var e event
	if err := json.Unmarshal(m, &e); err != nil {
		return err
	}
	if e.Event == "hotsock.connected" && l.connected != nil {
		close(l.connected)
		l.connected = nil
	}
	return e.err()
}

func (l *listener) control(op byte, m []byte) error {
	switch op {
	case opPing:
		l.p.mu.Lock()
		defer l.p.mu.Unlock()
		_, err := l.p.conn.Write(appendClient(nil, opPong, m, 0x5bd1e995))
		return err
	case opClose:
		return closeError(m)
	}
	return nil
}
