package api

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
)

// A Metric is one name on /metrics with its figures.
type Metric struct {
	// Name is the whole name, with its unit; a counter's ends in _total.
	Name string
	// Help says in one sentence what it counts.
	Help string
	// Gauge says that it may fall.
	Gauge bool
	// Label is the name of the one label, empty for none. Its values are a
	// closed set: never a channel, a user or an address.
	Label string
	// Samples are the figures: one, or one for each value of the label.
	Samples []Sample
}

// A Sample is a figure.
type Sample struct {
	Label string
	Value float64
}

// A Source adds metrics to a page. It is called for every page, and names the
// same metrics each time.
type Source func(add func(Metric))

// Counter makes a counter without a label.
func Counter(name, help string, v uint64) Metric {
	return Metric{Name: name, Help: help, Samples: []Sample{{Value: float64(v)}}}
}

// Gauge makes a gauge without a label.
func Gauge(name, help string, v float64) Metric {
	return Metric{Name: name, Help: help, Gauge: true, Samples: []Sample{{Value: v}}}
}

func (a *API) metrics(w http.ResponseWriter, _ *http.Request) {
	var page bytes.Buffer
	for _, source := range a.sources {
		source(func(m Metric) { m.write(&page) })
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(page.Bytes())
}

var escapeHelp = strings.NewReplacer(`\`, `\\`, "\n", `\n`)

// write appends the metric in Prometheus' text format 0.0.4.
func (m *Metric) write(b *bytes.Buffer) {
	kind := "counter"
	if m.Gauge {
		kind = "gauge"
	}
	b.WriteString("# HELP " + m.Name + " " + escapeHelp.Replace(m.Help) + "\n# TYPE " + m.Name + " " + kind + "\n")
	for _, s := range m.Samples {
		b.WriteString(m.Name)
		if m.Label != "" {
			b.WriteString("{" + m.Label + "=" + strconv.Quote(s.Label) + "}")
		}
		b.WriteByte(' ')
		b.Write(strconv.AppendFloat(b.AvailableBuffer(), s.Value, 'g', -1, 64))
		b.WriteByte('\n')
	}
}
