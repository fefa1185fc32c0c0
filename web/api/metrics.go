package api

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"keyhook/internal/postgres"
)

// A gauges tells how far readers are behind, whenever it is asked. While the
// database does not answer it tells only what is known here: an old figure would
// look like one that is.
type gauges struct{ s *Server }

var (
	heldGauge = prometheus.NewDesc("keyhook_readers_held_back_seconds",
		"How long ago the first signal arrived that readers wait for because a transaction that writes is still open, of all workspaces; 0: none waits.", nil, nil)
	behindGauge = prometheus.NewDesc("keyhook_readers_slowest_behind_seconds",
		"How long ago the first signal arrived that the slowest token has not read and could, of those that work and have read before; 0: all have read all.", nil, nil)
	streamsGauge = prometheus.NewDesc("keyhook_readers_streams", "Streams that are open on this instance.", nil, nil)
	waitingGauge = prometheus.NewDesc("keyhook_readers_waiting", "Requests that wait for signals on this instance.", nil, nil)
)

// Gauges returns what /metrics tells of readers.
func (s *Server) Gauges() prometheus.Collector { return gauges{s} }

// Describe names the gauges.
func (gauges) Describe(names chan<- *prometheus.Desc) {
	for _, name := range []*prometheus.Desc{heldGauge, behindGauge, streamsGauge, waitingGauge} {
		names <- name
	}
}

// Collect looks.
func (g gauges) Collect(values chan<- prometheus.Metric) {
	tell := func(name *prometheus.Desc, value float64) {
		values <- prometheus.MustNewConstMetric(name, prometheus.GaugeValue, value)
	}
	streams, waiting := g.s.readers.count()
	tell(streamsGauge, float64(streams))
	tell(waitingGauge, float64(waiting))
	ctx, cancel := context.WithTimeout(postgres.Everywhere(context.Background()), 2*time.Second)
	defer cancel()
	tokens, err := g.s.keys.ReadingTokens(ctx)
	if err != nil {
		g.s.log.WarnContext(ctx, "tokens can't be listed for the metrics", "err", err)
		return
	}
	lag, err := g.s.events.Lag(ctx, tokens)
	if err != nil {
		g.s.log.WarnContext(ctx, "metrics of readers can't be had", "err", err)
		return
	}
	tell(heldGauge, lag.Held.Seconds())
	tell(behindGauge, lag.Unread.Seconds())
}
