package earshot

import (
	"slices"
	"testing"
	"time"
)

func grant(pattern string, allow, deny Action, events ...EventGrant) Grant {
	return Grant{Channel: Glob(pattern), Allow: allow, Deny: deny, Events: events}
}

func TestTerms(t *testing.T) {
	for _, c := range []struct {
		what   string
		grants []Grant
		event  string
		want   Action
	}{
		{"nothing", nil, "", 0},
		{"another channel", []Grant{grant("b", Subscribe, 0)}, "", 0},
		{"one", []Grant{grant("a", Subscribe, 0)}, "", Subscribe},
		{"two that match add up", []Grant{grant("a", Subscribe, 0), grant("*", Echo, 0)}, "", Subscribe | Echo},
		{"a denial wins after", []Grant{grant("a", Subscribe, 0), grant("*", 0, Subscribe)}, "", 0},
		{"a denial wins before", []Grant{grant("*", 0, Subscribe), grant("a", Subscribe, 0)}, "", 0},
		{"a denial is of one action", []Grant{grant("a", Subscribe|Echo, 0), grant("*", 0, Echo)}, "", Subscribe},
		{"events only with an event", []Grant{grant("a", 0, 0, EventGrant{Event: Exact("e"), Allow: Publish})}, "", 0},
		{"an event adds", []Grant{grant("a", Subscribe, 0, EventGrant{Event: Exact("e"), Allow: Publish})}, "e", Subscribe | Publish},
		{"another event", []Grant{grant("a", 0, 0, EventGrant{Event: Exact("f"), Allow: Publish})}, "e", 0},
		{
			"an event denies what the channel allows",
			[]Grant{grant("a", Publish, 0, EventGrant{Event: Glob("e*"), Deny: Publish})},
			"e1", 0,
		},
		{
			"a channel denies what an event allows",
			[]Grant{grant("*", 0, Publish), grant("a", 0, 0, EventGrant{Event: Exact("e"), Allow: Publish})},
			"e", 0,
		},
	} {
		id := Identity{Grants: c.grants}
		if got := id.On("a", c.event); got.Allow != c.want || got.Allow&got.Deny != 0 {
			t.Errorf("%s: %b, want %b", c.what, got.Allow, c.want)
		}
	}
}

func TestStoreOfTerms(t *testing.T) {
	store := func(ds ...time.Duration) time.Duration {
		id := Identity{}
		for _, d := range ds {
			id.Grants = append(id.Grants, grant("a", 0, 0, EventGrant{Event: Exact("e"), Store: d}))
		}
		return id.On("a", "e").Store
	}
	for _, c := range []struct {
		in   []time.Duration
		want time.Duration
	}{
		{nil, 0},
		{[]time.Duration{time.Second, time.Minute}, time.Minute},
		{[]time.Duration{Forever, time.Hour}, Forever},
		{[]time.Duration{time.Hour, Forever, 0}, Forever},
		{[]time.Duration{Forever, Forever}, Forever},
		{[]time.Duration{0, 0}, 0},
	} {
		if got := store(c.in...); got != c.want {
			t.Errorf("%v: %v, want %v", c.in, got, c.want)
		}
	}
}

func TestHistoryStartOfTerms(t *testing.T) {
	early, late := time.Unix(0, 0), time.Unix(100, 0)
	with := func(start *time.Time) Grant { return Grant{Channel: Exact("a"), HistoryStart: start} }
	for _, grants := range [][]Grant{{with(&late), with(&early)}, {with(&early), with(nil), with(&late)}} {
		id := Identity{Grants: grants}
		if got := id.On("a", "").HistoryStart; got == nil || !got.Equal(early) {
			t.Errorf("%v", got)
		}
	}
	id := Identity{Grants: []Grant{with(nil)}}
	if got := id.On("a", "").HistoryStart; got != nil {
		t.Errorf("%v was opened by nobody", got)
	}
}

func TestWith(t *testing.T) {
	one := &Identity{App: "x", UID: "1", Grants: make([]Grant, 0, 8)}
	one.Grants = append(one.Grants, grant("a", Subscribe, 0))
	two := &Identity{App: "x", UID: "2", HasUID: true, Grants: []Grant{grant("a", Publish, 0)}, Expires: time.Unix(5, 0)}
	both := one.With(two)
	third := one.With(&Identity{Grants: []Grant{grant("a", 0, Subscribe)}})
	if both.UID != "2" || !both.HasUID || !both.Expires.Equal(two.Expires) || both.On("a", "").Allow != Subscribe|Publish {
		t.Errorf("%+v", both)
	}
	if third.On("a", "").Allow != 0 || len(one.Grants) != 1 || len(two.Grants) != 1 || one.On("a", "").Allow != Subscribe {
		t.Error("an identity was changed")
	}
}

func TestRules(t *testing.T) {
	a := App{Rules: []Rule{{Channel: Glob("live.*"), Live: true}, {Channel: Glob("*"), Depth: 7}}}
	if r := a.Rule("live.x"); !r.Live {
		t.Error("the first rule that matches does not count")
	}
	if r := a.Rule("x"); r.Live || r.Depth != 7 {
		t.Errorf("%+v", r)
	}
	if r := (&App{}).Rule("x"); r.Live || r.Depth != 0 || r.Open != 0 {
		t.Errorf("without rules: %+v", r)
	}
}

func TestErrors(t *testing.T) {
	if AsError(nil) != nil {
		t.Error("nil is an error")
	}
	cause := Errorf(Slow, "slow")
	var codes []Code
	for _, err := range []error{cause, &Error{Code: Full, Err: cause}} {
		codes = append(codes, CodeOf(err))
	}
	if !slices.Equal(codes, []Code{Slow, Full}) {
		t.Errorf("%v", codes)
	}
	if e := AsError(errFake{}); e.Code != Internal || e.Unwrap() == nil || e.Text == "secret" {
		t.Errorf("%+v", e)
	}
}

type errFake struct{}

func (errFake) Error() string { return "secret" }
