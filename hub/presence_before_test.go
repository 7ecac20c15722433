package hub_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
)

// TestNoticeSaysWhatWasBefore: on every node, the notice of newer metadata has
// what it takes the place of.
func TestNoticeSaysWhatWasBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.NewStore(mem.Config{})
		one, two := newRig(t, hub.Config{}, store), newRig(t, hub.Config{}, store)
		time.Sleep(time.Second)
		before := &hub.Encoding{Name: "before", Notices: true, Render: func(m *earshot.Message) *hub.Frame {
			if was, ok := m.Headers[hub.HeaderBefore]; ok != (m.Notice == earshot.MemberUpdated) {
				t.Errorf("a notice %v has %q before, %v", m.Notice, was, ok)
			}
			return hub.TextFrame([]byte(m.Headers[hub.HeaderBefore] + ";" + string(m.Data[:30])))
		}}
		var all []*watcher
		for _, r := range []*rig{one, two} {
			w, err := r.present("live.p", "w", "", before)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, w)
		}
		synctest.Wait()
		first := one.mustPresent("live.p", "a", "")
		synctest.Wait()
		second := two.mustPresent("live.p", "a", `{"n":1}`)
		synctest.Wait()
		if err := first.conn.SetMeta(t.Context(), "live.p", []byte(`{"n":2}`)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		first.leave()
		synctest.Wait()
		second.leave()
		synctest.Wait()
		for _, w := range all {
			w.expect(
				`;{"member":{"uid":"a","umd":nul`, `;{"member":{"uid":"a","umd":{"n`, `{"n":1};{"member":{"uid":"a","umd":{"n`,
				`{"n":2};{"member":{"uid":"a","umd":{"n`, `;{"member":{"uid":"a","umd":{"n`,
			)
		}
	})
}
