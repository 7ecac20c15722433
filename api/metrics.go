package api

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
	// closed set: never a channel, a user or an address, and apps only as far as
	// usage.Few tells them apart.
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

// metricsHandler serves the sources' figures in the formats that Prometheus asks
// for.
func metricsHandler(sources []Source) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector(sources)) // the first of its kind
	page := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		page.ServeHTTP(w, r)
	})
}

// A collector shows the registry what sources say at the time.
type collector []Source

// Describe says nothing, which tells the registry that the figures are known
// only when they are collected.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect asks every source.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, source := range c {
		source(func(m Metric) { m.collect(out) })
	}
}

func (m *Metric) collect(out chan<- prometheus.Metric) {
	kind := prometheus.CounterValue
	if m.Gauge {
		kind = prometheus.GaugeValue
	}
	var labels []string
	if m.Label != "" {
		labels = []string{m.Label}
	}
	desc := prometheus.NewDesc(m.Name, m.Help, labels, nil)
	for _, s := range m.Samples {
		values := []string{s.Label}[:len(labels)]
		out <- prometheus.MustNewConstMetric(desc, kind, s.Value, values...)
	}
}
