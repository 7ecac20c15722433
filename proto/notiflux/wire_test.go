package notiflux

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// TestParse is the table of spec B2.
func TestParse(t *testing.T) {
	for text, want := range map[string]command{
		"":                                 {},
		"hello":                            {},
		"subscribe a b":                    {},
		"/subscribe news token":            {verb: subscribe, topic: "news", token: "token"},
		" \u2003\n/subscribe news token\t": {verb: subscribe, topic: "news", token: "token"},
		"/subscribe  token":                {verb: subscribe, token: "token"},
		"/subscribe a\nb token":            {verb: subscribe, topic: "a\nb", token: "token"},
		"/subscribe news":                  {reply: invalidSubscribe},
		"/subscribe news  token":           {reply: invalidSubscribe},
		"/subscribe  news token":           {reply: invalidSubscribe},
		"/subscribe a b c":                 {reply: invalidSubscribe},
		"/subscribe":                       {reply: unknownCommand},
		"/subscribe ":                      {reply: unknownCommand},
		"/Subscribe news token":            {reply: unknownCommand},
		"/subscribe\tnews token":           {reply: unknownCommand},
		"/unsubscribe news":                {verb: unsubscribe, topic: "news"},
		"/unsubscribe  two words":          {verb: unsubscribe, topic: " two words"},
		"/unsubscribe":                     {reply: unknownCommand},
		"/unsubscribe-all":                 {verb: unsubscribeAll},
		"/unsubscribe-all x":               {reply: unknownCommand},
		"/":                                {reply: unknownCommand},
		"/ subscribe a b":                  {reply: unknownCommand},
		"/broadcast a b":                   {reply: unknownCommand},
	} {
		if got := parse(text); got != want {
			t.Errorf("%q is read as %+v, want %+v", text, got, want)
		}
	}
}

// TestParseBroadcast is the table of spec B1.
func TestParseBroadcast(t *testing.T) {
	for body, want := range map[string]string{
		`{"topic":"a","message":"b","token":"c"}`:                "",
		`{"topic":"a b","message":"","token":"","more":[1]}`:     "",
		`{"topic":"a","message":"b"}`:                            "missing field `token`",
		`{"message":"b","token":"c"}`:                            "missing field `topic`",
		`{"topic":"a","message":null,"token":"c"}`:               "missing field `message`",
		`{"topic":"a","message":{"x":1},"token":"c"}`:            "the member message is not a string",
		`{"topic":7,"message":"b","token":"c"}`:                  "the member topic is not a string",
		`{"topic":"a","topic":"b","message":"b","token":"c"}`:    "it is not one JSON value in UTF-8 in which each name occurs once",
		`{"topic":"a","message":"b","token":"c"} x`:              "it is not one JSON value in UTF-8 in which each name occurs once",
		"{\"topic\":\"a\",\"message\":\"\xff\",\"token\":\"c\"}": "it is not one JSON value in UTF-8 in which each name occurs once",
		`["a","b","c"]`: "it is not an object",
		``:              "it is not one JSON value in UTF-8 in which each name occurs once",
	} {
		_, err := parseBroadcast([]byte(body))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", body, err)
		case want != "" && (err == nil || earshot.CodeOf(err) != earshot.Invalid || textOf(err) != "Json deserialize error: "+want):
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	got, err := parseBroadcast([]byte(`{"topic":"a","message":"\u00fc\n","token":"c"}`))
	if want := (broadcast{"a", "ü\n", "c"}); got != want || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestIsJSON(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "Application/JSON": true, "text/json": true,
		"application/vnd.api+json": true, "": false, "text/plain": false, "application/x-www-form-urlencoded": false, "json": false,
		"application/json-seq": false, "application/": false,
	} {
		if got := isJSON(contentType); got != want {
			t.Errorf("%q: %v", contentType, got)
		}
	}
}

// TestRender is this protocol's column of the table in ARCHITECTURE.md.
func TestRender(t *testing.T) {
	for _, c := range []struct {
		m    earshot.Message
		op   hub.Op
		want string
	}{
		{earshot.Message{Kind: earshot.Text, Data: []byte("plain \"ü\"")}, hub.Text, "plain \"ü\""},
		{earshot.Message{Kind: earshot.Text, Event: "e", Sender: &earshot.Sender{UID: "u"}}, hub.Text, ""},
		{earshot.Message{Kind: earshot.JSON, Event: "e", Data: []byte(`{"a":[1,"x"]}`)}, hub.Text, `{"a":[1,"x"]}`},
		{earshot.Message{Kind: earshot.JSON, Data: []byte(`"text"`)}, hub.Text, `"text"`},
		{earshot.Message{Kind: earshot.JSON}, hub.Text, "null"},
		{earshot.Message{Kind: earshot.Binary, Data: []byte("\x00\xff")}, hub.Binary, "\x00\xff"},
	} {
		f := hub.DataFrame(&c.m)
		if f.Op != c.op || string(f.Head)+string(f.Body) != c.want {
			t.Errorf("%v %q became %v %q", c.m.Kind, c.m.Data, f.Op, f.Body)
		}
	}
}

// TestChannelOf: a topic is the channel of its name, or none.
func TestChannelOf(t *testing.T) {
	for _, topic := range []string{"a", "campaign:7", "a.b", "a b", " a ", "*", "#", "a/b,c", "ü", strings.Repeat("ü", 256), strings.Repeat(".", 31)} {
		if got, err := channelOf(topic); got != topic || err != nil {
			t.Errorf("%q became %q, %v", topic, got, err)
		}
	}
	for _, topic := range []string{"", "a\xff", strings.Repeat("x", 257), strings.Repeat("\U0001F600", 129), strings.Repeat(".", 32)} {
		if _, err := channelOf(topic); earshot.CodeOf(err) != earshot.Invalid || err == nil {
			t.Errorf("%.20q…: %v", topic, err)
		}
	}
}

// TestParseClaims is the table of spec B3, as far as it is about the claims.
func TestParseClaims(t *testing.T) {
	good := `{"sub":"","exp":1,"topics":["a","b"],"scope":"subscribe","nbf":"x","iss":3,"more":{}}`
	p, err := parseClaims(&earshot.App{Slug: "app"}, []byte(good))
	if err != nil || p.scope != "subscribe" || p.identity.App != "app" || !p.identity.HasUID {
		t.Fatalf("got %+v, %v", p, err)
	}
	for channel, want := range map[string]earshot.Action{"a": earshot.Subscribe, "b": earshot.Subscribe, "c": 0, "A": 0, "": 0} {
		if got := p.identity.On(channel, "").Allow; got != want {
			t.Errorf("on %q %b is allowed", channel, got)
		}
	}
	if p, err := parseClaims(&earshot.App{}, []byte(`{"sub":"u","exp":1,"topics":["*"],"scope":"broadcast"}`)); err != nil ||
		p.identity.On("*", "").Allow != earshot.Broadcast || p.identity.On("x", "").Allow != 0 {
		t.Errorf("a star is no pattern: %+v, %v", p, err)
	}
	if p, err := parseClaims(&earshot.App{}, []byte(`{"sub":"u","exp":1,"topics":[],"scope":"broadcast"}`)); err != nil || len(p.identity.Grants) != 0 {
		t.Errorf("no topics: %+v, %v", p, err)
	}
	for _, bad := range []string{
		`{"exp":1,"topics":["a"],"scope":"subscribe"}`, `{"sub":"u","topics":["a"],"scope":"subscribe"}`,
		`{"sub":"u","exp":1,"scope":"subscribe"}`, `{"sub":"u","exp":1,"topics":["a"]}`,
		`{"sub":1,"exp":1,"topics":["a"],"scope":"subscribe"}`, `{"sub":null,"exp":1,"topics":["a"],"scope":"subscribe"}`,
		`{"sub":"u","exp":1.5,"topics":["a"],"scope":"subscribe"}`, `{"sub":"u","exp":-1,"topics":["a"],"scope":"subscribe"}`,
		`{"sub":"u","exp":"1","topics":["a"],"scope":"subscribe"}`, `{"sub":"u","exp":1,"topics":"a","scope":"subscribe"}`,
		`{"sub":"u","exp":1,"topics":["a",1],"scope":"subscribe"}`, `{"sub":"u","exp":1,"topics":[null],"scope":"subscribe"}`,
		`{"sub":"u","exp":1,"topics":null,"scope":"subscribe"}`, `{"sub":"u","exp":1,"topics":["a"],"scope":"Subscribe"}`,
		`{"sub":"u","exp":1,"topics":["a"],"scope":"subscribe broadcast"}`, `{"sub":"u","exp":1,"topics":["a"],"scope":["subscribe"]}`,
		`{"sub":"u","exp":1,"topics":["a"],"scope":"subscribe","aud":"me"}`, `{"sub":"u","exp":1,"topics":["a"],"scope":"subscribe","aud":[]}`,
	} {
		if p, err := parseClaims(&earshot.App{}, []byte(bad)); err == nil || !translate(earshot.CodeOf(err)).silent {
			t.Errorf("%s: %+v, %v", bad, p, err)
		}
	}
	if _, err := parseClaims(&earshot.App{Audience: "me"}, []byte(`{"sub":"u","exp":1,"topics":["a"],"scope":"subscribe","aud":"me"}`)); err != nil {
		t.Errorf("an aud that the app asks for: %v", err)
	}
}

// FuzzParse: a command is never both carried out and answered, and a topic has
// no space where it is subscribed to.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"/subscribe a b", "/subscribe a  b", "/unsubscribe a b", "/unsubscribe-all", "/x", "hello", " /subscribe a b "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := parse(s)
		switch {
		case q.verb != nothing && q.reply != "":
			t.Errorf("%q: %+v", s, q)
		case q.verb == subscribe && (strings.Contains(q.topic+q.token, " ") || parse("/subscribe "+q.topic+" "+q.token) != q):
			t.Errorf("%q: %+v", s, q)
		case q.verb == nothing && q.reply == "" && strings.HasPrefix(strings.TrimSpace(s), "/"):
			t.Errorf("%q is a command and ignored", s)
		}
	})
}

// FuzzParseBroadcast: what is read is three texts in UTF-8; what is not is told.
func FuzzParseBroadcast(f *testing.F) {
	f.Add([]byte(`{"topic":"a","message":"b","token":"c"}`))
	f.Add([]byte(`{"topic":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := parseBroadcast(body)
		if err == nil && !utf8.ValidString(b.topic+b.message+b.token) {
			t.Errorf("%q: %+v", body, b)
		}
		if err != nil && (earshot.CodeOf(err) != earshot.Invalid || !strings.HasPrefix(textOf(err), "Json deserialize error: ")) {
			t.Errorf("%q: %v", body, err)
		}
	})
}

// FuzzParseClaims: what is permitted is what topics names, and nothing else.
func FuzzParseClaims(f *testing.F) {
	f.Add([]byte(`{"sub":"u","exp":1,"topics":["a"],"scope":"subscribe"}`))
	f.Fuzz(func(t *testing.T, claims []byte) {
		p, err := parseClaims(&earshot.App{Slug: "app"}, claims)
		if err != nil {
			if !translate(earshot.CodeOf(err)).silent {
				t.Errorf("%q: %v", claims, err)
			}
			return
		}
		for _, g := range p.identity.Grants {
			if _, ok := g.Channel.Literal(); !ok || g.Allow != earshot.Subscribe && g.Allow != earshot.Broadcast {
				t.Errorf("%q: %+v", claims, g)
			}
		}
	})
}
