package enginetest

import (
	"bytes"
	"context"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

func memberPromises() []promise {
	return []promise{
		{name: "two hubs agree on who is present over a cut", needs: []string{TwoNodes, Cut}, test: membersOnNodes},
		{name: "a hub calls a connection of another", needs: []string{TwoNodes}, test: callOnNodes},
	}
}

// membersOnNodes lets users come on both nodes while their link is whole, cut and
// whole again.
func membersOnNodes(s *suite) {
	hubs := []*hub.Hub{s.hub(0), s.hub(1)}
	tenant := &earshot.App{Slug: app}
	shows := func(node int, want string) func() bool {
		return func() bool {
			info, err := hubs[node].Info(s.ctx, tenant, "members")
			var uids []string
			for _, m := range info.Members {
				uids = append(uids, m.UID)
			}
			return err == nil && strings.Join(uids, " ") == want
		}
	}
	s.member(hubs[0], tenant, "a")
	s.until("node 1 shows a", shows(1, "a"))
	s.member(hubs[1], tenant, "b")
	s.until("node 0 shows both", shows(0, "a b"))
	s.Cut(1)
	s.until("node 0 takes node 1 for dead", shows(0, "a"))
	s.member(hubs[0], tenant, "c")
	s.Restore(1)
	s.until("node 0 shows all again", shows(0, "a b c"))
	s.until("node 1 shows all", shows(1, "a b c"))
	hubs[1].Close()
	s.until("node 1 is gone", shows(0, "a c"))
}

// member joins a user to the channel.
func (s *suite) member(h *hub.Hub, tenant *earshot.App, uid string) *hub.Conn {
	s.Helper()
	l := &listener{}
	id := &earshot.Identity{App: tenant.Slug, UID: uid, HasUID: true, Grants: []earshot.Grant{{Channel: earshot.Glob("*"), Allow: earshot.Subscribe}}}
	c, err := h.Open(h.NextShard(), l, hub.Opening{App: tenant, Identity: id, Farewell: l})
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	c.Serve(silent{})
	s.Cleanup(func() {
		c.Close(nil)
		c.Ended(hub.End{})
	})
	enc := &hub.Encoding{Name: "members", Notices: true, Render: func(m *earshot.Message) *hub.Frame { return hub.TextFrame(m.Data) }}
	sub, _, err := c.Subscribe(s.ctx, hub.Join{Channel: "members", Encoding: enc, Present: true})
	if err == nil {
		err = sub.Start(s.ctx)
	}
	if err != nil {
		s.Fatalf("%s joins: %v", uid, err)
	}
	return c
}

// callOnNodes asks for more than one control message holds.
func callOnNodes(s *suite) {
	hubs := []*hub.Hub{s.hub(0), s.hub(1)}
	for _, h := range hubs {
		h.Serve("repeat", func(_ context.Context, _ *hub.Conn, data []byte) ([]byte, error) {
			return bytes.Repeat(data, hub.MaxAnswer/len(data)), nil
		})
	}
	c := s.member(hubs[1], &earshot.App{Slug: app}, "a")
	s.until("the nodes know each other", func() bool { return len(hubs[0].Nodes()) == 2 })
	data := bytes.Repeat([]byte("0123456789abcdef"), 2048)
	got, err := hubs[0].Call(s.ctx, c.ID(), "repeat", data)
	if err != nil || !bytes.Equal(got, bytes.Repeat(data, hub.MaxAnswer/len(data))) {
		s.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := hubs[0].Call(s.ctx, earshot.NewConnID(), "repeat", data); earshot.CodeOf(err) != earshot.NotFound {
		s.Errorf("a connection that is nowhere: %v", err)
	}
}
