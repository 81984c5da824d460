package metrics

import (
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// runtimeMetrics are the series of the Go runtime besides the numbers of
// goroutines and threads; as Prometheus names go_memory_classes_total_bytes
// and so on.
const runtimeMetrics = `^(/memory/classes/heap/objects:bytes|/memory/classes/total:bytes|/gc/heap/goal:bytes|/gc/heap/allocs:bytes|` +
	`/cpu/classes/gc/total:cpu-seconds)$`

// SetGoRuntime switches the series of the Go runtime (feature
// Enable-Go-Runtime-Metrics). They are read when scraped, not before.
func (r *Registry) SetGoRuntime(on bool) { r.goRuntime.Store(on) }

// newGoRuntime returns the registry of the Go runtime's series.
func (r *Registry) newGoRuntime() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	labels := prometheus.Labels{"node_id": r.nodeID, "node_type": r.role}
	prometheus.WrapRegistererWith(labels, registry).MustRegister(collectors.NewGoCollector(
		collectors.WithGoCollectorMemStatsMetricsDisabled(),
		collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(runtimeMetrics)}),
	))
	return registry
}
