package ingest

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"keyhook/internal/inbox"
)

// Metrics are what ingestion counts. None of their labels comes from a sender.
type Metrics struct {
	requests   *prometheus.CounterVec
	took       prometheus.Histogram
	batches    prometheus.Histogram
	queued     prometheus.Gauge
	refusals   *prometheus.CounterVec
	unrecorded prometheus.Counter
	failures   prometheus.Counter
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyhook_ingest_requests_total", Help: "Requests to the webhook endpoints, by answer.",
		}, []string{"outcome", "status"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "keyhook_ingest_answer_seconds", Help: "Time from a request's headers to its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "keyhook_ingest_batch_size", Help: "Requests committed together.", Buckets: prometheus.ExponentialBuckets(1, 2, 7),
		}),
		queued: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "keyhook_ingest_queue_length", Help: "Requests that wait for a writer.",
		}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyhook_ingest_refused_total", Help: "Refused requests, by reason.",
		}, []string{"reason"}),
		unrecorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyhook_ingest_refused_not_recorded_total", Help: "Refused requests that the log could not take.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyhook_ingest_write_failures_total", Help: "Requests whose write failed or has an unknown outcome.",
		}),
	}
	registerer.MustRegister(m.requests, m.took, m.batches, m.queued, m.refusals, m.unrecorded, m.failures)
	return m
}

func (m *Metrics) answered(a answer, began time.Time) {
	outcome := string(inbox.Refused)
	switch {
	case a.problem.code == "":
		outcome = string(a.accepted.Outcome)
	case a.problem.status == unavailable.status:
		outcome = "unavailable"
	}
	m.requests.WithLabelValues(outcome, strconv.Itoa(a.status())).Inc()
	m.took.Observe(time.Since(began).Seconds())
}
