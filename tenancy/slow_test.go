package tenancy

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/tenant"
)

// A slow body comes in two halves.
type slow struct {
	io.Reader
	io.Closer
}

// TestSlowBodies: a request that begins with a key that counts, and whose body
// takes until that key is taken away, publishes nothing.
func TestSlowBodies(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	w := newWorld(t, r, setup{fixed: []*tenantApp{newTenant(t, r, "fixed")}})
	a := newTenant(t, r, "shop")
	w.create(a)
	n := w.nodes[0]
	kinds := map[string]string{
		"publish": tenant.RotatePublishKey, "lambda": tenant.RotateAccessKey, "gateway": tenant.RotateAccessKey, "epl": tenant.RotateSecret,
	}
	for i := range mouths {
		by := &mouths[i]
		kind, ok := kinds[by.name]
		if !ok {
			continue // a token is in the body
		}
		now := a.only()
		hold := func(b *tenantApp) (finish func() int) {
			q := by.ask(w, b, mark{b.slug, by.on(b, "c"), 1})
			half := len(q.body) / 2
			reader, writer := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.addr+q.path, strings.NewReader(q.body))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range q.header {
				req.Header.Set(name, value)
			}
			if q.sign != nil {
				q.sign(req)
			}
			req.Body = slow{reader, reader}
			answered := make(chan int, 1)
			go func() {
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					answered <- 0
					return
				}
				resp.Body.Close()
				answered <- resp.StatusCode
			}()
			_, _ = io.WriteString(writer, q.body[:half]) // it has been asked for
			return func() int {
				_, _ = io.WriteString(writer, q.body[half:])
				_ = writer.Close()
				return <-answered
			}
		}
		rotate := func() {
			for _, finish := range []bool{false, true} {
				answer := w.operate(n, http.MethodPost, "/admin/apps/shop/rotate", &tenant.Rotation{Kind: kind, Finish: finish}, 200)
				if !finish {
					for j := range kindsOfSecrets {
						if kindsOfSecrets[j].name == kind {
							now = kindsOfSecrets[j].newest(w, now, answer).tenantApp
						}
					}
				}
			}
		}
		rotate()
		finish := hold(now)
		if status := finish(); status >= 300 {
			t.Errorf("%s: a slow body with a key that counts: %d", by.name, status)
		}
		finish = hold(now)
		rotate()
		if status := finish(); status != http.StatusUnauthorized && status != http.StatusForbidden {
			t.Errorf("%s: a slow body with a key that does not count any more: %d", by.name, status)
		}
		a = now
	}
}
