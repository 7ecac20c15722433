package prototest

import (
	"bytes"
	"errors"
	"net/http"
	"slices"

	"github.com/earshot-io/earshot/proto"
)

func opening() []promise {
	return []promise{
		{name: "refused before the handshake", on: func(c Carrier) bool { return !c.stream() }, test: refusedBefore},
		{name: "subprotocol after a slow backend", on: func(c Carrier) bool { return c == Memory || c.webSocket() }, test: subprotocol},
	}
}

// refusedBefore compares what the client got with what the protocol said.
func refusedBefore(w *world) {
	_, err := w.dial("mallory", w.d.Refused())
	if err == nil {
		w.Fatalf("the client was let in")
	}
	got := refusedAs(err)
	if got == nil {
		w.Fatalf("no answer: %v", err)
	}
	said := w.spy.refused()
	if said == nil {
		w.Fatalf("the protocol refused without a *proto.Refusal: %v", err)
	}
	if !w.carrier.webSocket() {
		if no := (*proto.Refusal)(nil); !errors.As(err, &no) || no != said {
			w.Errorf("the refusal was changed on its way: %v", err)
		}
		got = &refusal{status: said.Status, header: said.Header, body: said.Body}
	}
	if got.status != said.Status || got.status < 400 || got.status == http.StatusSwitchingProtocols {
		w.Errorf("refused with status %d, the protocol said %d", got.status, said.Status)
	}
	for name, values := range said.Header {
		if !slices.Equal(got.header[http.CanonicalHeaderKey(name)], values) {
			w.Errorf("refused with %s: %q, the protocol said %q", name, got.header[name], values)
		}
	}
	if len(said.Body) == 0 || !bytes.Equal(got.body, said.Body) {
		w.Errorf("refused with the body %q, the protocol said %q", got.body, said.Body)
	}
	if len(said.Header) == 0 {
		w.Errorf("the protocol's refusal has no header")
	}
	w.gone()
}

// subprotocol lets Admit wait for a backend. Nothing is answered before.
func subprotocol(w *world) {
	asked, answer := w.spy.slow()
	defer answer()
	h := w.d.Hello(listener("alice", "news"), w.carrier)
	type outcome struct {
		c   *client
		err error
	}
	answered := make(chan outcome, 1)
	go func() {
		c, err := w.dial("alice", h)
		answered <- outcome{c, err}
	}()
	wait(w, "the protocol is asked", asked)
	select {
	case o := <-answered:
		w.Fatalf("answered before the backend was: %+v", o)
	default:
	}
	answer()
	o := wait(w, "the handshake is answered", answered)
	if o.err != nil {
		w.Fatalf("not let in: %v", o.err)
	}
	if w.d.Subprotocol == "" || !slices.Contains(h.Subprotocols, w.d.Subprotocol) {
		w.Fatalf("the dialect offers %q and expects %q", h.Subprotocols, w.d.Subprotocol)
	}
	if o.c.subprotocol != w.d.Subprotocol {
		w.Errorf("the subprotocol is %q, not %q", o.c.subprotocol, w.d.Subprotocol)
	}
	if !w.d.Silent {
		o.c.expect(Ready)
	}
}
