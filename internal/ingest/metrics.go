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
	commits    prometheus.Histogram
	refusals   *prometheus.CounterVec
	notKept    prometheus.Counter
	unrecorded prometheus.Counter
	failures   prometheus.Counter
	retries    prometheus.Counter
	stale      prometheus.Counter
	overBudget prometheus.Counter
	forwarded  prometheus.Counter
	registerer prometheus.Registerer
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
			Name: "keyhook_ingest_batch_size", Help: "Requests committed together.", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "keyhook_ingest_commit_seconds", Help: "Time that a batch takes in the database.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyhook_ingest_refused_total", Help: "Refused requests, by reason.",
		}, []string{"reason"}),
		notKept:    counter("refused_not_kept", "Refused requests that were counted and left no row in the log."),
		unrecorded: counter("refused_not_recorded", "Refused requests that could be neither recorded nor counted."),
		failures:   counter("write_failures", "Requests whose write failed or has an unknown outcome."),
		retries:    counter("batch_retries", "Batches that were tried again, whole or in halves."),
		stale:      counter("stale_keys", "Requests whose key had changed since it was looked up."),
		overBudget: counter("over_budget", "Requests refused because too much of bodies was held."),
		forwarded:  counter("untrusted_forwarded", "Requests with good credentials and X-Forwarded-For from a peer that is no trusted proxy."),
		registerer: registerer,
	}
	registerer.MustRegister(m.requests, m.took, m.batches, m.commits, m.refusals, m.notKept, m.unrecorded, m.failures, m.retries, m.stale, m.overBudget, m.forwarded)
	return m
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "keyhook_ingest_" + name + "_total", Help: help})
}

// watch adds a writer's queues to the metrics.
func (m *Metrics) watch(w *Writer) {
	for lane, queue := range map[string]chan pending{"accepted": w.accepted, "refused": w.refused} {
		m.registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keyhook_ingest_queue_length", Help: "Requests that wait for a writer.", ConstLabels: prometheus.Labels{"lane": lane},
		}, func() float64 { return float64(len(queue)) }))
	}
	m.registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keyhook_ingest_in_flight", Help: "Requests that were read and are not answered yet.",
	}, func() float64 { return float64(w.inFlight.Load()) }))
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
