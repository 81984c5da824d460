package metrics

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// descriptors are made once: a scrape only fills in values.
type descriptors struct {
	counters [numCounters]*prometheus.Desc
	latency  [numOps]*prometheus.Desc
	disks    [len(diskMetrics)]*prometheus.Desc
	uptime   *prometheus.Desc
	flags    *prometheus.Desc
	primary  *prometheus.Desc
}

// labelOf makes a node id fit for a label.
func labelOf(nodeID string) string { return strings.ReplaceAll(nodeID, ".", "_") }

func (r *Registry) initPrometheus() {
	static := prometheus.Labels{"node_id": r.nodeID}
	prefix := "ais_" + r.role + "_"
	d := &r.descriptors
	for c := range numCounters {
		k := &catalog[c]
		if k.prom == "" || k.targetOnly && !r.target {
			continue
		}
		var labels []string
		if k.label != never {
			labels = append(labels, "bucket")
		}
		if k.xkind {
			labels = append(labels, "xkind")
		}
		d.counters[c] = prometheus.NewDesc(prefix+k.prom, k.help, labels, static)
	}
	for op := range numOps {
		if r.measures(op) {
			name := strings.ReplaceAll(latencyName(op), ".", "_")
			d.latency[op] = prometheus.NewDesc(prefix+name, "time of the operation, seconds", nil, static)
		}
	}
	for i, m := range diskMetrics {
		d.disks[i] = prometheus.NewDesc(prefix+m.prom, m.help, []string{"disk"}, static)
	}
	d.uptime = prometheus.NewDesc(prefix+"uptime", "time since the node's start, seconds", nil, static)
	d.flags = prometheus.NewDesc(prefix+"state_flags", "alert mask of the node, 6 is healthy", nil, static)
	d.primary = prometheus.NewDesc("ais_node_primary_info", "primary proxy that the node knows", []string{"primary_id"}, static)

	r.prom = prometheus.NewRegistry()
	r.prom.MustRegister(collector{r})
	own := prometheus.WrapRegistererWith(static, r.prom)
	opts := promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}
	plain := promhttp.HandlerFor(r.prom, opts)
	withRuntime := promhttp.HandlerFor(prometheus.Gatherers{r.prom, r.newGoRuntime()}, opts)
	scrape := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.goRuntime.Load() {
			withRuntime.ServeHTTP(w, req)
		} else {
			plain.ServeHTTP(w, req)
		}
	})
	r.handler = promhttp.InstrumentMetricHandler(own, scrape)
}

// Handler serves the Prometheus text, other forms by Accept.
func (r *Registry) Handler() http.Handler { return r.handler }

// collector makes the registry a prometheus.Collector without showing the
// methods to its users.
type collector struct{ r *Registry }

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	d := &c.r.descriptors
	for _, desc := range d.counters {
		if desc != nil {
			ch <- desc
		}
	}
	for _, desc := range d.latency {
		if desc != nil {
			ch <- desc
		}
	}
	if c.r.target {
		for _, desc := range d.disks {
			ch <- desc
		}
	}
	ch <- d.uptime
	ch <- d.flags
	ch <- d.primary
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	r, d := c.r, &c.r.descriptors
	r.countCache()
	r.countStreams()
	for k, desc := range d.counters {
		if desc == nil {
			continue
		}
		emit := func(value int64, bucket string) {
			var labels []string
			if catalog[k].label != never {
				labels = append(labels, bucket)
			}
			if catalog[k].xkind {
				labels = append(labels, "")
			}
			kind := prometheus.CounterValue
			if catalog[k].current {
				kind = prometheus.GaugeValue
			}
			ch <- prometheus.MustNewConstMetric(desc, kind, float64(value), labels...)
		}
		emit(r.plain[k].Load(), "")
		if k < int(numLabelled) {
			r.buckets.each(func(s *series) {
				if v := s.values[k].Load(); v != 0 {
					emit(v, s.label)
				}
			})
		}
	}
	for op, desc := range d.latency {
		if desc != nil {
			buckets, count, sum := r.latency[op].snapshot()
			ch <- prometheus.MustNewConstHistogram(desc, count, sum, buckets)
		}
	}
	if disks := r.disks.Load(); disks != nil && r.target {
		for disk, stats := range disks.stats {
			for i, m := range diskMetrics {
				ch <- prometheus.MustNewConstMetric(d.disks[i], prometheus.GaugeValue, float64(m.of(stats)), disk)
			}
		}
	}
	ch <- prometheus.MustNewConstMetric(d.uptime, prometheus.GaugeValue, r.Uptime().Seconds())
	ch <- prometheus.MustNewConstMetric(d.flags, prometheus.GaugeValue, float64(r.flags.Load()))
	if primary := r.primary.Load(); primary != nil {
		ch <- prometheus.MustNewConstMetric(d.primary, prometheus.GaugeValue, 1, *primary)
	}
}
