package app

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/api"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/function"
	"github.com/earshot-io/earshot/gateway"
)

// lend gives each app with functions that run here an access key for them. Nobody
// is told of it but their processes, and it ends with this one.
func lend(apps []*earshot.App) map[string]earshot.AccessKey {
	lent := map[string]earshot.AccessKey{}
	for _, a := range apps {
		if !function.Any(a) {
			continue
		}
		k := auth.NewAccessKey()
		k.Allow = []earshot.Pattern{earshot.Exact(earshot.ManageConnections), earshot.Exact(earshot.InvokeFunction)}
		lent[a.Slug] = k
		a.AccessKeys = append(a.AccessKeys, k)
	}
	return lent
}

// hostFunctions starts the functions that run here. What they say to this server
// goes to its front.
func (a *App) hostFunctions(ctx context.Context) (functions, error) {
	data, err := a.functionData()
	if err != nil {
		return functions{}, err
	}
	host, err := function.New(function.Config{
		Apps: a.apps.Apps(), Keys: a.lent, Data: data, Log: a.log.With("part", "functions"),
		Handler: api.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*a.front.Load()).ServeHTTP(w, r) }), a.log),
	})
	if err != nil {
		return functions{}, err
	}
	a.onStop("functions", host.Close)
	return functions{host}, host.Start(ctx)
}

// functionData is the directory for binaries and certificates. A server without a
// data directory of its own has one for as long as it lives.
func (a *App) functionData() (string, error) {
	if a.config.Engine.Data != "" || len(a.lent) == 0 {
		return filepath.Join(a.config.Engine.Data, "functions"), nil
	}
	dir, err := os.MkdirTemp("", "earshot-functions-")
	if err == nil {
		a.onStop("directory of functions", func(context.Context) error { return os.RemoveAll(dir) })
	}
	return dir, err
}

// functions are those that run here, as the API and WebSocket APIs know them.
type functions struct{ host *function.Host }

var (
	_ api.Functions     = functions{}
	_ gateway.Functions = functions{}
)

// Has implements api.Functions.
func (f functions) Has(a *earshot.App, name string) bool { return f.host.Of(a.Slug).Has(name) }

// Call implements api.Functions.
func (f functions) Call(ctx context.Context, a *earshot.App, name string, c api.FunctionCall) (api.FunctionAnswer, error) {
	answer, err := f.host.Of(a.Slug).Run(ctx, name, function.Call(c))
	var failed *function.Error
	if errors.As(err, &failed) {
		return api.FunctionAnswer{Payload: failed.Payload, Failed: true, Log: answer.Log}, nil
	}
	return api.FunctionAnswer{Payload: answer.Payload, Log: answer.Log}, err
}

// Later implements api.Functions.
func (f functions) Later(a *earshot.App, name string, c api.FunctionCall) error {
	return f.host.Of(a.Slug).Enqueue(name, function.Call(c))
}

// Invoke implements gateway.Functions.
func (f functions) Invoke(ctx context.Context, a *earshot.App, name string, payload []byte) ([]byte, error) {
	answer, err := f.host.Of(a.Slug).Invoke(ctx, name, payload)
	var failed *function.Error
	if errors.As(err, &failed) {
		return nil, &gateway.FunctionError{Payload: failed.Payload, Message: failed.Message, Type: failed.Type}
	}
	return answer, err
}

// Enqueue implements gateway.Functions.
func (f functions) Enqueue(a *earshot.App, name string, payload []byte) error {
	return f.host.Of(a.Slug).Enqueue(name, function.Call{Payload: payload})
}

func functionFigures(f functions) api.Source {
	return func(add func(api.Metric)) {
		s := f.host.Stats()
		add(api.Gauge("earshot_functions_processes", "Processes of functions that run here.", float64(s.Processes)))
		add(api.Gauge("earshot_functions_waiting", "Calls of functions that wait for a process.", float64(s.Waiting)))
		add(api.Counter("earshot_functions_started_total", "Processes of functions that were started.", s.Started))
		add(api.Counter("earshot_functions_calls_total", "Calls of functions that have ended.", s.Calls))
		add(api.Counter("earshot_functions_failed_total", "Those of them that failed.", s.Failed))
		add(api.Counter("earshot_functions_timeouts_total", "Those of them that took too long.", s.Timeouts))
		add(api.Counter("earshot_functions_refused_total", "Calls of functions that were refused, since too many waited.", s.Refused))
	}
}
