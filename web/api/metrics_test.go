package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gauge returns what the metrics tell, by name; what they leave out is not there.
func (s *stage) gauges() map[string]float64 {
	s.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.api.Gauges())
	families, err := registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	told := map[string]float64{}
	for _, family := range families {
		told[strings.TrimPrefix(family.GetName(), "keyhook_readers_")] = family.GetMetric()[0].GetGauge().GetValue()
	}
	return told
}

// until waits for the metrics to be as they should.
func (s *stage) until(what string, good func(map[string]float64) bool) {
	s.t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		told := s.gauges()
		if good(told) {
			return
		}
		if time.Since(began) > 30*time.Second {
			s.t.Fatalf("%s: the metrics tell %v", what, told)
		}
	}
}

// TestMetrics: how long an open transaction holds readers back, how far the slowest
// token that works is behind, who is there; and nothing of it while it can't be known.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.until("with nothing there", func(m map[string]float64) bool {
		return len(m) == 4 && m["held_back_seconds"] == 0 && m["slowest_behind_seconds"] == 0 && m["streams"] == 0 && m["waiting"] == 0
	})
	s.addMany(s.home, "a", 3)
	s.addMany(s.foreign, "b", 3)
	half := s.list("limit=2")
	s.list("limit=2&after=" + half.Cursor)
	s.Raw().MustExec(`UPDATE signals SET received_at = received_at - interval '1 hour'`)
	s.until("with a slow reader", func(m map[string]float64) bool {
		return m["slowest_behind_seconds"] > 3600 && m["slowest_behind_seconds"] < 3700 && m["held_back_seconds"] < 100
	})
	if _, err := s.keys.DeactivateToken(t.Context(), s.home.by, s.home.token.Token.ID); err != nil {
		t.Fatal(err)
	}
	s.until("without it", func(m map[string]float64) bool { return m["slowest_behind_seconds"] == 0 })

	tx := s.Raw().MustBegin()
	tx.MustExec(`SELECT pg_current_xact_id()`)
	if err := s.ingest(s.arrival(s.foreign, "held", "text/plain", "x")); err != nil {
		t.Fatal(err)
	}
	s.until("with an open transaction", func(m map[string]float64) bool { return m["held_back_seconds"] > 0.3 })
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	s.until("after it", func(m map[string]float64) bool { return m["held_back_seconds"] == 0 })

	open := s.listen(s.server.URL, s.issue(s.foreign, "streaming"), "", "")
	open.signals(4)
	s.until("with a stream", func(m map[string]float64) bool { return m["streams"] == 1 })
	s.Raw().MustExec(`ALTER TABLE signal_readers RENAME TO away`)
	if m := s.gauges(); len(m) != 2 || m["streams"] != 1 {
		t.Errorf("while the database can't tell, the metrics tell %v, want only who is there", m)
	}
}
