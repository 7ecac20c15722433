package auth_test

import (
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
)

func gatewayApp(slug string, hosts []string, all ...earshot.Gateway) *earshot.App {
	return &earshot.App{Slug: slug, Hosts: hosts, Gateways: all}
}

func TestByGateway(t *testing.T) {
	chat := gatewayApp("one", []string{"one.example"}, earshot.Gateway{ID: "chat1", Hosts: []string{"WS.example", "one.example"}}, earshot.Gateway{ID: "news"})
	d := directory(t, chat, gatewayApp("two", nil, earshot.Gateway{ID: "other"}))
	for host, id := range map[string]string{
		"ws.example": "chat1", "Ws.Example:8443": "chat1", "one.example": "chat1",
		"news.execute-api.eu-west-1.amazonaws.com": "news", "NEWS.execute-api.us-east-1.amazonaws.com:443": "news",
		"other.execute-api.cn-north-1.amazonaws.com.cn": "other",
		"nobody.execute-api.us-east-1.amazonaws.com":    "", "news.execute-api..amazonaws.com": "", "news.execute-api.a.b.amazonaws.com": "",
		"news": "", "": "", "news.execute-api.us-east-1.amazonaws.com.evil": "", "[::1]:80": "",
	} {
		a, g := d.ByGatewayHost(host)
		switch {
		case id == "" && (a != nil || g != nil), id != "" && (g == nil || g.ID != id || a == nil):
			t.Errorf("%s: got %v, want %q", host, g, id)
		}
	}
	if a, g := d.ByGateway("news"); a != chat || g != &chat.Gateways[1] {
		t.Error("an API is not found by its id")
	}
	d.Replace(nil)
	if a, g := d.ByGateway("news"); a != nil || g != nil {
		t.Error("an API is found that is gone")
	}
	if a, _ := d.ByGatewayHost("ws.example"); a != nil {
		t.Error("an API is found that is gone, by its host")
	}
}

func TestGatewayClashes(t *testing.T) {
	first := gatewayApp("first", []string{"a.example"}, earshot.Gateway{ID: "x", Hosts: []string{"ws.example"}})
	for why, other := range map[string]*earshot.App{
		`both have a gateway "x"`: gatewayApp("b", nil, earshot.Gateway{ID: "x"}),
		`the host "ws.example"`:   gatewayApp("b", nil, earshot.Gateway{ID: "y", Hosts: []string{"WS.example"}}),
		`the host "a.example"`:    gatewayApp("b", nil, earshot.Gateway{ID: "y", Hosts: []string{"a.example"}}),
		`claim the host "ws.exa`:  gatewayApp("b", []string{"ws.example"}),
		`gateway "y": it stands`:  gatewayApp("b", nil, earshot.Gateway{ID: "y"}, earshot.Gateway{ID: "y"}),
		`host "h": it stands`:     gatewayApp("b", nil, earshot.Gateway{ID: "y", Hosts: []string{"h"}}, earshot.Gateway{ID: "z", Hosts: []string{"h"}}),
	} {
		if _, err := auth.NewDirectory([]*earshot.App{first, other}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want %s", err, why)
		}
		d := directory(t, first)
		if err := d.Fits(other); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("Fits: got %v, want %s", err, why)
		}
		if refused := d.Replace([]*earshot.App{first, other}); len(refused) != 1 || refused[0].App != other {
			t.Errorf("%s: refused are %v", why, refused)
		}
	}
	same := *first
	if err := directory(t, first).Fits(&same); err != nil {
		t.Error("an app does not fit in its own place:", err)
	}
}
