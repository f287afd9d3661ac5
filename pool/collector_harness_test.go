package pool

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// collecting is a collector of the series of one pool, whether it serves or not.
type collecting struct {
	Collector
	pool *Pool
}

// Collect implements [prometheus.Collector].
func (c collecting) Collect(to chan<- prometheus.Metric) { c.pool.collect(to) }

// gather returns what a registry as Caddy has it makes of the collector.
func gather(t testing.TB, c prometheus.Collector) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// scrape returns the pool's series, by name and labels as Prometheus writes them. Of
// summaries and histograms it returns the counts.
func scrape(t testing.TB, p *Pool) map[string]float64 {
	t.Helper()
	series := make(map[string]float64)
	for _, f := range gather(t, collecting{pool: p}) {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue() +
				float64(m.GetSummary().GetSampleCount()) + float64(m.GetHistogram().GetSampleCount())
			series[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	return series
}
