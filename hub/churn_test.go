package hub_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// TestWhoComesAndGoesWaits: who joins and leaves a full channel without end is
// held up, by no more than ten seconds each time; nobody else is.
func TestWhoComesAndGoesWaits(t *testing.T) {
	run(t, hub.Config{}, func(r *rig) {
		deaf := text()
		full := func(uid string) *watcher {
			w, err := r.present("live.p", uid, `"`+strings.Repeat("x", 1000)+`"`, deaf)
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		var all []*watcher
		for i := range 99 {
			all = append(all, full(fmt.Sprint(i)))
		}
		begun := time.Now()
		restless := full("restless")
		restless.conn.Unsubscribe(restless.sub)
		if err := restless.join("live.p", deaf); err != nil {
			t.Fatal(err)
		}
		few := time.Since(begun)
		for range 10 {
			restless.conn.Unsubscribe(restless.sub)
			if err := restless.join("live.p", deaf); err != nil {
				t.Fatal(err)
			}
		}
		// Each time 99 are sent 100 KB, twice.
		if many := time.Since(begun); few > time.Second || many < 20*time.Second || many > 30*time.Second {
			t.Errorf("once took %v, and ten more until %v", few, many)
		}
		calm := time.Now()
		all[0].conn.Unsubscribe(all[0].sub)
		if err := all[0].join("live.p", deaf); err != nil || time.Since(calm) != 0 {
			t.Errorf("another member joined again after %v: %v", time.Since(calm), err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		for i := 0; ; i++ {
			err := restless.conn.SetMeta(ctx, "live.p", fmt.Appendf(nil, `"%0900d"`, i))
			if err == nil && i < 20 {
				continue
			}
			if e := earshot.AsError(err); e == nil || e.Code != earshot.Limited || e.Reason != "PRESENCE_BUSY" {
				t.Errorf("metadata that changes all the time: %v", err)
			}
			return
		}
	})
}
