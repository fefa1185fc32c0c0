package web

import (
	"net/http"
	"time"

	"keyhook/internal/inbox"
	"keyhook/views"
)

// chartSteps are the lengths of a chart's intervals, the shortest first.
var chartSteps = []time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
	6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour, 28 * 24 * time.Hour,
}

// maxBars is about how many intervals a chart has.
const maxBars = 61

// A span longer than this is counted by whole hours, where these know the filter.
const countByHours = 12 * time.Hour

func stepFor(length time.Duration, countable bool) time.Duration {
	for _, step := range chartSteps {
		if countable && length > countByHours && step < time.Hour {
			continue
		}
		if length <= maxBars*step {
			return step
		}
	}
	return 0
}

// logChart counts what the filter means: without a beginning, the last day of it.
func (s *Server) logChart(r *http.Request, v logView) (chart views.LogChart, err error) {
	f := v.filter.DeliveryFilter
	if f.Text != "" {
		chart.Missing = "There is no chart of a search for text: it would have to read every body."
		return chart, nil
	}
	if f.Until.IsZero() {
		f.Until = v.now
	}
	if f.From.IsZero() {
		f.From = f.Until.Add(-24 * time.Hour)
	}
	step := stepFor(f.Until.Sub(f.From), f.Countable())
	if step == 0 || !f.From.Before(f.Until) {
		chart.Missing = "The range is too long for a chart, or is not over yet."
		return chart, nil
	}
	h, err := s.events.HistogramOf(r.Context(), v.member.Workspace.ID, f, step)
	if err != nil {
		return chart, err
	}
	chart = views.LogChart{Step: step, Until: h.Until, Since: h.Since}
	for _, count := range h.Counts {
		chart.Bars = append(chart.Bars, views.LogBar{Count: countOf(count), Href: v.zoom(count.Hour, step)})
	}
	return chart, nil
}

func countOf(c inbox.HourCount) views.Count {
	return views.Count{From: c.Hour, Accepted: c.Accepted, Duplicate: c.Duplicate, Refused: c.Refused}
}

// zoom is the address of one interval of the chart.
func (v logView) zoom(at time.Time, step time.Duration) string {
	return v.list(map[string]string{"range": "", "from": at.UTC().Format("2006-01-02T15:04"), "until": at.Add(step).UTC().Format("2006-01-02T15:04"), "zone": ""})
}
