package pool

import (
	"cmp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// series is one series at the time of a scrape. Unlike the constants of the client
// library it shares its labels with others, and cannot fail: there may be 100,000 of them.
type series struct {
	desc   *prometheus.Desc
	metric dto.Metric
}

// Desc implements [prometheus.Metric].
func (s *series) Desc() *prometheus.Desc { return s.desc }

// Write implements [prometheus.Metric].
func (s *series) Write(m *dto.Metric) error {
	m.Label, m.Gauge, m.Counter = s.metric.Label, s.metric.Gauge, s.metric.Counter
	m.Histogram, m.Summary = s.metric.Histogram, s.metric.Summary
	return nil
}

// labels are those of a series, in the order of their names.
type labels []*dto.LabelPair

// label returns a label. An address need not be UTF-8, a value has to be.
func label(name, value string) *dto.LabelPair {
	value = strings.ToValidUTF8(value, "\uFFFD")
	return &dto.LabelPair{Name: &name, Value: &value}
}

// with returns the labels and more of them.
func (l labels) with(more ...*dto.LabelPair) labels {
	all := append(slices.Clone(l), more...)
	slices.SortFunc(all, func(a, b *dto.LabelPair) int { return cmp.Compare(*a.Name, *b.Name) })
	return all
}

func gauge(d *prometheus.Desc, l labels, value float64) *series {
	s := &struct {
		series
		gauge dto.Gauge
		value float64
	}{value: value}
	s.gauge.Value = &s.value
	s.desc, s.metric.Label, s.metric.Gauge = d, l, &s.gauge
	return &s.series
}

func counter(d *prometheus.Desc, l labels, value uint64) *series {
	s := &struct {
		series
		counter dto.Counter
		value   float64
	}{value: float64(value)}
	s.counter.Value = &s.value
	s.desc, s.metric.Label, s.metric.Counter = d, l, &s.counter
	return &s.series
}

// summary returns a series of how often something was measured, and the sum.
func summary(d *prometheus.Desc, l labels, n uint64, sum float64) *series {
	s := &series{desc: d}
	s.metric.Label, s.metric.Summary = l, &dto.Summary{SampleCount: &n, SampleSum: &sum}
	return s
}

// histogram returns the series of the time until answers; nil while there is none.
func (c *counters) histogram(d *prometheus.Desc, l labels) *series {
	h := &struct {
		series
		histogram  dto.Histogram
		count      uint64
		sum        float64
		buckets    [len(Buckets)]dto.Bucket
		cumulative [len(Buckets)]uint64
		pointers   [len(Buckets)]*dto.Bucket
	}{sum: float64(c.took.Load()) / 1e9}
	for i := range Buckets {
		h.count += c.buckets[i].Load()
		h.cumulative[i] = h.count
		h.buckets[i].CumulativeCount, h.buckets[i].UpperBound = &h.cumulative[i], &Buckets[i]
		h.pointers[i] = &h.buckets[i]
	}
	if h.count += c.buckets[len(Buckets)].Load(); h.count == 0 {
		return nil
	}
	h.histogram.SampleCount, h.histogram.SampleSum, h.histogram.Bucket = &h.count, &h.sum, h.pointers[:]
	h.desc, h.metric.Label, h.metric.Histogram = d, l, &h.histogram
	return &h.series
}
