package gateway

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
)

// build compiles an API of one stage, prod, whose custom routes have the keys.
func build(t testing.TB, expression string, keys ...string) *Stage {
	t.Helper()
	g := &earshot.Gateway{ID: "abc123", RouteSelection: expression, Stages: []earshot.GatewayStage{{Name: "prod"}}}
	for _, k := range keys {
		g.Routes = append(g.Routes, earshot.GatewayRoute{Key: k})
	}
	a, err := Compile(g)
	if err != nil {
		t.Fatal(err)
	}
	return a.Stage("prod")
}

// TestExpressions is the table of section 5.2, with what it leaves open.
func TestExpressions(t *testing.T) {
	const body = `{"service":"chat","action":"join","data":{"room":"room1234"},"a-b":"dash","a b":"space","list":["item1","item2"],` +
		`"n":1,"f":1.50,"t":true,"null":null,"obj":{"k":"v","n":[1,null]},"q'":"quote","é":"accent","esc\u0061pe":"unescaped","empty":""}`
	for _, test := range []struct{ expression, want string }{
		{`$request.body.action`, "join"},
		{`${request.body.action}`, "join"},
		{`${request.body.service}/${request.body.action}`, "chat/join"},
		{`${request.body.action}-${request.body.invalidPath}`, "join-"},
		{`action`, "action"},
		{`\$default`, "$default"},

		// 10: without braces, a variable takes what it can; a slash ends it.
		{`$request.body.service/$request.body.action`, "chat/join"},
		{`$request.body.a-b`, "dash"},
		{`$request.body.action-$request.body.service`, "chat"},
		{`$request.body.data.room:x`, "room1234:x"},
		{`${request.body['a b']}`, "space"},
		{`${request.body["a b"]}`, "space"},
		{`${request.body["q'"]}`, "quote"},
		{`${request.body.é}`, "accent"},
		{`${request.body.escape}`, "unescaped"},
		{`$request.body.list[1]`, "item2"},
		{`$request.body.list[2]`, ""},
		{`$request.body.list.x`, ""},
		{`$request.body.action.x`, ""},
		{`a$request.body.action`, "ajoin"},
		{`\$request.body.action`, "$request.body.action"},
		{`\\$request.body.action`, `\$request.body.action`},
		{`a\b`, `a\b`},

		// Texts of what is no string.
		{`$request.body.n`, "1"},
		{`$request.body.f`, "1.50"},
		{`$request.body.t`, "true"},
		{`x${request.body.null}`, "x"},
		{`$request.body.list`, "[item1, item2]"},
		{`$request.body.obj`, "{k=v, n=[1, null]}"},
		{`$request.body.empty`, ""},

		// One value more than once, and parts of it.
		{`${request.body.data.room}${request.body.data.room}`, "room1234room1234"},
		{`${request.body.data}${request.body.data.room}`, "{room=room1234}room1234"},
	} {
		x, err := parseExpression(test.expression)
		if err != nil {
			t.Errorf("%s: %v", test.expression, err)
			continue
		}
		got, ok := x.evaluate([]byte(body), 1000)
		if !ok || string(got) != test.want {
			t.Errorf("%s: %q, %v, want %q", test.expression, got, ok, test.want)
		}
	}
}

func TestExpressionsRefused(t *testing.T) {
	for _, expression := range []string{
		"", "$", "${", "${}", "$request", "$request.body", "${request.body}", "$request.bodyguard", "$request.header.x", "$context.stage",
		"$request.body.", "$request.body.a.", "$request.body..a", "$request.body.*", "$request.body[0]", "$request.body.a[*]",
		"$request.body.a[-1]", "$request.body.a[?(@.b)]", "$request.body.a[1", "${request.body.a", "${request.body['a}", "$request.body['']",
		"$request.body['a b']", "${request.body.a b}", "$request.body.@a",
		strings.Repeat("${request.body.a}", maxVariables+1), "$request.body" + strings.Repeat(".a", maxSteps+1), strings.Repeat("a", maxExpression+1),
	} {
		if _, err := parseExpression(expression); err == nil {
			t.Errorf("%.60q is accepted", expression)
		}
	}
}

// TestSelect is the algorithm of section 5.1.
func TestSelect(t *testing.T) {
	const bare, both, fixed = "$request.body.action", "${request.body.service}/${request.body.action}", "join"
	for _, test := range []struct{ name, expression, message, want string }{
		{"exact", bare, `{"action":"join"}`, "join"},
		{"case counts", bare, `{"action":"Join"}`, "$default"},
		{"a part is none", bare, `{"action":"joi"}`, "$default"},
		{"longer", bare, `{"action":"joined and more than any key has"}`, "$default"},
		{"not there", bare, `{"x":1}`, "$default"},
		{"empty", bare, `{"action":""}`, "$default"},
		{"a number", bare, `{"action":7}`, "7"},
		{"null", bare, `{"action":null}`, "$default"},
		{"two", both, `{"service":"chat","action":"join"}`, "chat/join"},
		{"fixed", fixed, `not JSON`, "join"},
		{"fixed default", `\$default`, `{"action":"join"}`, "$default"},
		{"no JSON", bare, `hello`, "$default"},
		{"nothing", bare, ``, "$default"},
		{"a string", bare, `"join"`, "$default"},
		{"a number alone", bare, `5`, "$default"},
		{"an array", bare, `[{"action":"join"}]`, "$default"},
		{"unquoted names", bare, `{"action":"join", body:"hello"}`, "$default"},
		{"cut short", bare, `{"action":"join"`, "$default"},
		{"with more behind it", bare, `{"action":"join"}}`, "$default"},
		{"two values", bare, `{"action":"join"} {"action":"join"}`, "$default"},
		{"space around it", bare, " {\"action\":\"join\"}\r\n\t ", "join"},
		{"the last of a name counts", bare, `{"action":"7","action":"join"}`, "join"},
		{"of an object too", "$request.body.a.b", `{"a":{"b":"join"},"a":{}}`, "$default"},
		{"invalid UTF-8", bare, "{\"action\":\"join\",\"x\":\"\xff\"}", "$default"},
		// 9: the routes of the connection's life are not to be had by name.
		{"connect", bare, `{"action":"$connect"}`, "$default"},
		{"disconnect", bare, `{"action":"$disconnect"}`, "$default"},
		{"default", bare, `{"action":"$default"}`, "$default"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := build(t, test.expression, "$connect", "$disconnect", "$default", "join", "chat/join", "7")
			if got := s.Select([]byte(test.message)); got == nil || got.Key != test.want {
				t.Errorf("%s took %+v, want %s", test.message, got, test.want)
			}
			if got := build(t, test.expression, "$connect", "join").Select([]byte(test.message)); test.want != "join" && got != nil {
				t.Errorf("without $default, %s took %s", test.message, got.Key)
			}
		})
	}
}

// TestSelectDeep has messages that are deeper than a stack should be.
func TestSelectDeep(t *testing.T) {
	s := build(t, "$request.body.a", "$default")
	deep := strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000)
	if got := s.Select([]byte(deep)); got.Key != "$default" {
		t.Errorf("it took %s", got.Key)
	}
}

func BenchmarkSelect(b *testing.B) {
	text := strings.Repeat("0123456789abcdef", 8<<10-8)
	for _, bench := range []struct{ name, message string }{
		{"small", `{"message":"hello Matteo","action":"pushtowebsocket"}`},
		{"128KB string", `{"data":"` + text + `","action":"pushtowebsocket"}`},
		{"128KB objects", `{"data":[` + strings.Repeat(`{"k":"v","n":[1,2,3]},`, 5900) + `0],"action":"pushtowebsocket"}`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s, message := build(b, "$request.body.action", "$default", "pushtowebsocket"), []byte(bench.message)
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if s.Select(message).Key != "pushtowebsocket" {
					b.Fatal("another route")
				}
			}
		})
	}
}

// FuzzSelect looks for messages and expressions that do what they must not: panic,
// change the message, or take a route that is not theirs.
func FuzzSelect(f *testing.F) {
	for _, expression := range []string{"$request.body.action", "${request.body['a b'].c[0]}-x", `\$default`, "${request.body.a}${request.body.a.b}"} {
		f.Add(expression, []byte(`{"action":"join","a b":{"c":["d"]},"a":{"b":[1,{"c":null}]}}`))
		f.Add(expression, []byte(`{"action":["join",{}],"a":{"b":"\ud800"}`))
	}
	f.Fuzz(func(t *testing.T, expression string, message []byte) {
		x, err := parseExpression(expression)
		if err != nil {
			return
		}
		before := bytes.Clone(message)
		text, ok := x.evaluate(message, 100)
		if !bytes.Equal(before, message) {
			t.Error("the message was changed")
		}
		if ok && len(text) > 100 {
			t.Errorf("the text is %d bytes long", len(text))
		}
		again, okAgain := x.evaluate(message, 100)
		if ok != okAgain || !bytes.Equal(text, again) {
			t.Errorf("%q, %v, and then %q, %v", text, ok, again, okAgain)
		}
		g := &earshot.Gateway{ID: "x", RouteSelection: expression, Stages: []earshot.GatewayStage{{Name: "s"}}, Routes: []earshot.GatewayRoute{{Key: "$connect"}, {Key: "join"}}}
		a, err := Compile(g)
		if err != nil {
			t.Fatal(fmt.Errorf("it was parsed, but not compiled: %w", err))
		}
		if r := a.Stage("s").Select(message); r != nil && (r.Key != "join" || string(text) != "join") {
			t.Errorf("%q took %s", text, r.Key)
		}
	})
}
