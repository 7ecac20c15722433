package api

import (
	"runtime"
	"runtime/metrics"
)

// ProcessFigures are what the process has used and holds, under the names that
// every Prometheus client gives them.
func ProcessFigures() Source {
	return func(add func(Metric)) {
		systemFigures(add)
		samples := []metrics.Sample{
			{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"},
		}
		metrics.Read(samples)
		add(Gauge("go_goroutines", "Goroutines that exist.", float64(samples[0].Value.Uint64())))
		add(Gauge("go_heap_objects_bytes", "Memory of objects on the heap.", float64(samples[1].Value.Uint64())))
		add(Gauge("go_memory_bytes", "Memory that the runtime has mapped.", float64(samples[2].Value.Uint64())))
		add(Metric{
			Name: "go_info", Help: "The version of Go.", Gauge: true, Label: "version", Samples: []Sample{{runtime.Version(), 1}},
		})
	}
}
