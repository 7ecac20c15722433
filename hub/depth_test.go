package hub_test

import (
	"context"
	"strings"
	"testing"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// TestDepth publishes data that nests as deep as it may, and deeper.
func TestDepth(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	run(t, hub.Config{}, func(r *rig) {
		for _, q := range []struct {
			kind earshot.Kind
			data string
			ok   bool
		}{
			{earshot.JSON, nested(hub.MaxDepth), true},
			{earshot.JSON, nested(hub.MaxDepth + 1), false},
			{earshot.JSON, `{"a":` + nested(hub.MaxDepth) + `}`, false},
			{earshot.JSON, "[" + strings.Repeat("[],", 500) + "[]]", true},
			{earshot.JSON, `"` + strings.Repeat("[", 500) + `"`, true},
			{earshot.JSON, `"\"` + strings.Repeat("[", 500) + `"`, true},
			{earshot.JSON, `["\\",` + nested(hub.MaxDepth) + `]`, false},
			{earshot.Text, strings.Repeat("[", 500), true},
			{earshot.JSON, ``, true},
		} {
			m := message("c", q.data)
			m.Kind = q.kind
			_, err := r.hub.Publish(context.Background(), r.app, hub.Publication{Message: m})
			if ok := err == nil; ok != q.ok || !ok && earshot.CodeOf(err) != earshot.Invalid {
				r.Errorf("%.40s: got %v, want ok %v", q.data, err, q.ok)
			}
		}
	})
}
