package gateway

import (
	"log/slog"
	"runtime"
	"sync"
	"weak"

	"github.com/earshot-io/earshot"
)

// A Directory keeps the compiled APIs of apps, as long as somebody holds the app.
// It may be used concurrently.
type Directory struct {
	log  *slog.Logger
	mu   sync.Mutex
	apps map[weak.Pointer[earshot.App]][]*API
}

// NewDirectory makes an empty directory, which logs what cannot be compiled.
func NewDirectory(log *slog.Logger) *Directory {
	return &Directory{log: log, apps: map[weak.Pointer[earshot.App]][]*API{}}
}

// Of returns the app's APIs, in the order of its settings, without those that
// cannot be compiled: settings are checked before they become an app's, so that
// there should be none.
func (d *Directory) Of(a *earshot.App) []*API {
	if len(a.Gateways) == 0 {
		return nil
	}
	key := weak.Make(a)
	d.mu.Lock()
	defer d.mu.Unlock()
	if all, ok := d.apps[key]; ok {
		return all
	}
	all := d.compile(a)
	d.apps[key] = all
	runtime.AddCleanup(a, d.forget, key)
	return all
}

func (d *Directory) compile(a *earshot.App) []*API {
	all := make([]*API, 0, len(a.Gateways))
	for i := range a.Gateways {
		made, err := Compile(&a.Gateways[i])
		if err != nil {
			d.log.Warn("a WebSocket API is not served", "app", a.Slug, "api", a.Gateways[i].ID, "err", err)
			continue
		}
		all = append(all, made)
	}
	return all
}

func (d *Directory) forget(key weak.Pointer[earshot.App]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.apps, key)
}
