package hotsock_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/entry"
	"github.com/earshot-io/earshot/proto/hotsock"
)

// keeping are claims that allow what storage says on the channels c and live.
func keeping(storage claims) claims {
	on := claims{"subscribe": true, "storage": storage}
	return claims{"uid": "ann", "umd": claims{"n": 1}, "channels": claims{"c": on, "live": on}}
}

// all of storage is allowed.
func allStorage() claims {
	return claims{"*": claims{"get": true, "set": true, "observe": true}}
}

func set(channel, key, data string) string {
	return fmt.Sprintf(`{"event":"hotsock.channelStorageSet","channel":%q,"key":%q,"data":%s}`, channel, key, data)
}

func get(channel, key string) string {
	return fmt.Sprintf(`{"event":"hotsock.channelStorageGet","channel":%q,"key":%q}`, channel, key)
}

func updated(channel, key, data string) string {
	return fmt.Sprintf(`{"event":"hotsock.channelStorageUpdated","channel":%q,"key":%q,"data":%s,"meta":{"uid":"ann","umd":{"n":1}}}`, channel, key, data)
}

func kept(channel, key, data string) string {
	return strings.Replace(updated(channel, key, data), "Updated", "Data", 1)
}

// TestStorageSetGetObserve: an entry is written and read without a subscription,
// and observed with one, by its own writer too (spec §2.8).
func TestStorageSetGetObserve(t *testing.T) {
	for _, channel := range []string{"c", "live"} {
		t.Run(channel, func(t *testing.T) {
			virtual(t, func(t *testing.T, s *server) {
				writer := s.connect(keeping(allStorage()))
				writer.send(get(channel, "k"))
				writer.expect(fmt.Sprintf(`{"event":"hotsock.channelStorageData","channel":%q,"key":"k","data":null,"meta":null}`, channel))
				writer.send(set(channel, "k", `{"a":1}`), get(channel, "k"))
				writer.expect(kept(channel, "k", `{"a":1}`))

				other := s.connect(keeping(allStorage()))
				other.subscribe(channel)
				other.expect(updated(channel, "k", `{"a":1}`))
				writer.subscribe(channel)
				writer.expect(updated(channel, "k", `{"a":1}`))

				writer.send(set(channel, "k", `{ "a": 1.0 }`)) // no change
				writer.send(set(channel, "k", `2`), set(channel, "k", `{}`), set(channel, "k", `null`))
				for _, c := range []*client{writer, other} {
					c.expect(updated(channel, "k", "2"), updated(channel, "k", "null"))
					c.silent()
				}
				writer.send(get(channel, "k"))
				writer.expect(fmt.Sprintf(`{"event":"hotsock.channelStorageData","channel":%q,"key":"k","data":null,"meta":null}`, channel))
			})
		})
	}
}

// TestStorageOnSubscribe: after the confirmation comes one event for each entry
// that a grant observes, in the order of keys; by autoSubscribe and by an alias
// too; and what a subscribe token adds counts (spec §2.8, §3.5).
func TestStorageOnSubscribe(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		writer := s.connect(keeping(allStorage()))
		writer.send(set("c", "b", "2"), set("c", "a", "1"), set("c", "hidden", "3"), set("c", "gone", "4"), set("c", "gone", "null"))
		observe := claims{"?": claims{}, "a": claims{"observe": true}, "b*": claims{"observe": true}}
		s.connect(keeping(claims{"*": claims{"get": true}})).see(t, "c")
		s.connect(keeping(observe)).see(t, "c", updated("c", "a", "1"), updated("c", "b", "2"))
		s.connect(keeping(claims{"*": claims{"observe": true}, "a": claims{"observe": false}})).see(t, "c", updated("c", "b", "2"), updated("c", "hidden", "3"))

		auto := s.open(token(t, claims{"scope": "connect", "channels": claims{"c": claims{"autoSubscribe": true, "alias": "nick", "storage": observe}}}))
		auto.greet()
		auto.expect(`{"event":"hotsock.subscribed","channel":"c","data":{"autoSubscribed":true},"meta":{"channelAlias":"nick","uid":null,"umd":null}}`,
			updated("c", "a", "1"), updated("c", "b", "2"))
		auto.silent()

		alias := s.connect(claims{"channels": claims{"c": claims{"subscribe": true, "alias": "nick", "storage": observe}}})
		alias.send(`{"event":"hotsock.subscribe","channel":"nick"}`)
		alias.next()
		alias.expect(updated("c", "a", "1"), updated("c", "b", "2"))

		late := s.connect(claims{"uid": "ann"})
		late.send(fmt.Sprintf(`{"event":"hotsock.subscribe","channel":"c","data":{"token":%q}}`, token(t, claims{
			"scope": "subscribe", "uid": "ann", "channels": claims{"c": claims{"subscribe": true, "storage": claims{"a": claims{"observe": true, "get": true, "set": true}}}},
		})))
		late.next()
		late.expect(updated("c", "a", "1"))
		late.send(get("c", "a"))
		late.expect(kept("c", "a", "1"))
		late.send(set("c", "a", "9"))
		late.expect(`{"event":"hotsock.channelStorageUpdated","channel":"c","key":"a","data":9,"meta":{"uid":"ann","umd":null}}`)
	})
}

// see subscribes, and takes what comes.
func (c *client) see(t *testing.T, channel string, want ...string) {
	t.Helper()
	c.subscribe(channel)
	c.expect(want...)
	c.silent()
}

// TestStorageRefused: who may not is told so, and only he; nothing is written.
func TestStorageRefused(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		observer := s.connect(keeping(allStorage()))
		observer.subscribe("c")
		for _, c := range []struct{ sends, want string }{
			{set("c", "k", "1"), "STORAGE_PERMISSION_DENIED"},
			{get("c", "k"), "STORAGE_PERMISSION_DENIED"},
			{set("other", "open", "1"), "STORAGE_PERMISSION_DENIED"},
			{set("c", "", "1"), "INVALID_STORAGE_KEY"},
			{set("c", "a b", "1"), "INVALID_STORAGE_KEY"},
			{set("c", "open#", "1"), "INVALID_STORAGE_KEY"},
			{get("c", "o*"), "INVALID_STORAGE_KEY"},
			{set("c", strings.Repeat("k", 129), "1"), "INVALID_STORAGE_KEY"},
			{set("a b", "open", "1"), "INVALID_CHANNEL_NAME"},
			{set("c", "open", `"`+strings.Repeat("x", 32<<10)+`"`), "MESSAGE_TOO_LARGE"},
			{set("c", "open", strings.Repeat("[", 200)+strings.Repeat("]", 200)), "DATA_TOO_DEEP"},
			{`{"event":"hotsock.channelStorageSet","key":"open","data":1}`, "INVALID_MESSAGE"},
			{`{"event":"hotsock.channelStorageSet","channel":"c","key":5,"data":1}`, "INVALID_MESSAGE"},
			{`{"event":"hotsock.channelStorageUpdated","channel":"c","key":"open","data":1}`, "UNKNOWN_EVENT"},
		} {
			writer := s.connect(keeping(claims{"open": claims{"set": true, "get": true}, "seen": claims{"observe": true}}))
			writer.send(c.sends)
			if got := writer.next(); !strings.Contains(got, `"code":"`+c.want+`"`) {
				t.Errorf("%.80s: answered %s, want %s", c.sends, got, c.want)
			}
			writer.silent()
			writer.leave()
		}
		observer.silent()
	})
}

// TestStorageOverHTTP: the three calls, and what they refuse (spec §5).
func TestStorageOverHTTP(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(keeping(claims{"*": claims{"get": true, "set": true, "observe": true}, "secret": claims{"get": false}}))
		c.subscribe("c")
		ask := func(name, body string, status int, want string) {
			t.Helper()
			if w := c.post("/connection/"+name, body); w.Code != status || want != "" && w.Body.String() != want {
				t.Errorf("%s %s: %d %s, want %d %s", name, body, w.Code, w.Body, status, want)
			}
		}
		ask("channelStorageSet", `{"channel":"c","key":"b","data":{"x": [1, 2]}}`, http.StatusAccepted, `{"channel":"c","event":"hotsock.channelStorageSet"}`)
		ask("channelStorageSet", `{"channel":"c","key":"a","data":1}`, http.StatusAccepted, "")
		ask("channelStorageSet", `{"channel":"c","key":"secret","data":1}`, http.StatusAccepted, "")
		synctest.Wait()
		c.expect(updated("c", "b", `{"x":[1,2]}`), updated("c", "a", "1"), updated("c", "secret", "1"))
		meta := `"meta":{"uid":"ann","umd":{"n":1}}}`
		ask("channelStorageGet", `{"channel":"c","key":"b"}`, http.StatusOK, kept("c", "b", `{"x":[1,2]}`))
		ask("channelStorageGet", `{"channel":"c","key":"none"}`, http.StatusOK, `{"event":"hotsock.channelStorageData","channel":"c","key":"none","data":null,"meta":null}`)
		ask("channelStorageList", `{"channel":"c"}`, http.StatusOK, `{"items":[{"key":"a","data":1,`+meta+`,{"key":"b","data":{"x":[1,2]},`+meta+`]}`)
		ask("channelStorageList", `{"channel":"c","after":"a"}`, http.StatusOK, `{"items":[{"key":"b","data":{"x":[1,2]},`+meta+`]}`)
		ask("channelStorageList", `{"channel":"c","keys":["b","none","secret"]}`, http.StatusOK, `{"items":[{"key":"b","data":{"x":[1,2]},`+meta+`]}`)
		ask("channelStorageList", `{"channel":"other"}`, http.StatusOK, `{"items":[]}`)
		ask("channelStorageGet", `{"channel":"c","key":"secret"}`, http.StatusForbidden, "")
		ask("channelStorageGet", `{"channel":"c"}`, http.StatusBadRequest, "")
		ask("channelStorageSet", `{"channel":"other","key":"a","data":1}`, http.StatusForbidden, "")
		ask("channelStorageSet", `{"channel":"c","key":"a","data":"`+strings.Repeat("x", 32<<10)+`"}`, http.StatusRequestEntityTooLarge, "")
		ask("channelStorageList", `{"channel":"c","keys":"b"}`, http.StatusBadRequest, "")
		ask("channelStorageList", `{"channel":"c","keys":[`+strings.Repeat(`"a",`, 100)+`"a"]}`, http.StatusRequestEntityTooLarge, "")
	})
}

// TestStoragePages: a page has a hundred entries, and says where the next begins.
func TestStoragePages(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(keeping(allStorage()))
		for i := range 205 {
			c.send(set("c", fmt.Sprintf("k%03d", i), "1"))
		}
		after, pages := "", 0
		for n := 0; n < 205; pages++ {
			body := c.post("/connection/channelStorageList", fmt.Sprintf(`{"channel":"c","after":%q}`, after)).Body.String()
			n += strings.Count(body, `"key"`)
			if more := strings.HasSuffix(body, `],"more":true}`); more {
				after = fmt.Sprintf("k%03d", n-1)
			} else if n != 205 {
				t.Fatalf("%d entries, and no more", n)
			}
		}
		if pages != 3 {
			t.Errorf("%d pages", pages)
		}
		c.subscribe("c")
		for i := range 205 {
			c.expect(updated("c", fmt.Sprintf("k%03d", i), "1"))
		}
	})
}

// TestStorageTTL: what has expired is not read; observers are not told.
func TestStorageTTL(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		c := s.connect(keeping(claims{"*": claims{"get": true, "set": true, "observe": true, "store": 10}}))
		c.subscribe("c")
		c.send(set("c", "k", "1"))
		c.expect(updated("c", "k", "1"))
		time.Sleep(10*time.Second - time.Millisecond)
		c.send(get("c", "k"))
		c.expect(kept("c", "k", "1"))
		time.Sleep(time.Millisecond)
		c.send(get("c", "k"))
		c.expect(`{"event":"hotsock.channelStorageData","channel":"c","key":"k","data":null,"meta":null}`)
		s.connect(keeping(allStorage())).see(t, "c")
		time.Sleep(time.Minute)
		c.silent()
		c.send(set("c", "k", "1")) // a change again
		c.expect(updated("c", "k", "1"))
	})
}

// TestStorageOverNodes: who writes on one node is observed and read on another.
func TestStorageOverNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		a, b := newNode(t, store, hotsock.DefaultConfig()), newNode(t, store, hotsock.DefaultConfig())
		for _, channel := range []string{"c", "live"} {
			writer, reader := a.connect(keeping(allStorage())), b.connect(keeping(allStorage()))
			reader.subscribe(channel)
			writer.send(set(channel, "k", "1"), set(channel, "k", "2"))
			reader.expect(updated(channel, "k", "1"), updated(channel, "k", "2"))
			reader.send(get(channel, "k"))
			reader.expect(kept(channel, "k", "2"))
		}
	})
}

// writes lets the application's server write entries.
type writes struct{ s *server }

func (w writes) Set(ctx context.Context, a *earshot.App, e api.Entry) error {
	_, err := w.s.entries.Set(ctx, a, entry.Write{Channel: e.Channel, Key: e.Key, Data: e.Data, Store: e.Store})
	return err
}

// TestStorageOnSubscribeIsNotHurried: a client that does not read is waited for,
// however much there is, and hears what changed meanwhile afterwards.
func TestStorageOnSubscribeIsNotHurried(t *testing.T) {
	virtual(t, func(t *testing.T, s *server) {
		writer := s.connect(keeping(allStorage()))
		big := `"` + strings.Repeat("x", 30<<10) + `"`
		for i := range 100 {
			writer.send(set("c", fmt.Sprintf("k%02d", i), big))
		}
		c := s.connect(keeping(allStorage()))
		c.conn.Shard().Lock()
		c.stalled = true
		c.conn.Shard().Unlock()
		c.send(`{"event":"hotsock.subscribe","channel":"c"}`)
		time.Sleep(time.Minute)
		writer.send(set("c", "k99", "1"), set("c", "k00", "2"))
		c.silent()
		c.conn.Shard().Lock()
		c.stalled = false
		c.Flush()
		c.conn.Shard().Unlock()
		c.next()
		for i := range 99 {
			c.expect(updated("c", fmt.Sprintf("k%02d", i), big))
		}
		// The last was read before the change, or after it.
		if got := c.next(); got == updated("c", "k99", big) {
			c.expect(updated("c", "k99", "1"))
		} else if got != updated("c", "k99", "1") {
			t.Errorf("got %.100s", got)
		}
		c.expect(updated("c", "k00", "2"))
		c.silent()
	})
}
