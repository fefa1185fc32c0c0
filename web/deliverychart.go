package web

import (
	"net/http"
	"time"

	"keyhook/internal/account"
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

// A logCount is what a chart counts.
type logCount struct {
	inbox.DeliveryFilter
	step    time.Duration
	missing string // why there is no chart
}

// chartOf says what the chart of a view counts: without a beginning, the last day.
func chartOf(v logView) logCount {
	c := logCount{DeliveryFilter: v.filter.DeliveryFilter}
	if c.Text != "" {
		c.missing = "There is no chart of a search for text: it would have to read every body."
		return c
	}
	if c.Until.IsZero() {
		c.Until = v.now
	}
	if c.From.IsZero() {
		c.From = c.Until.Add(-24 * time.Hour)
	}
	c.step = stepFor(c.Until.Sub(c.From), c.Countable())
	if c.step == 0 || !c.From.Before(c.Until) {
		c.missing = "The range is too long for a chart, or is not over yet."
	}
	return c
}

// quick reports whether counts that are added up already know the answer: whole
// hours of a workspace or of a key. All else takes longer than the list does.
func (c logCount) quick() bool { return c.step%time.Hour == 0 && c.Countable() }

// logChart is the chart above the list: there with the page if it is quick or asked
// for, else fetched by it, so that the list does not wait.
func (s *Server) logChart(r *http.Request, v logView) (views.LogChart, error) {
	c := chartOf(v)
	if c.missing == "" && !c.quick() && r.URL.Query().Get("chart") != "1" {
		there := map[string]string{"chart": "1"}
		return views.LogChart{Later: v.part("/chart", nil), Here: v.list(there), Nonce: nonce(r)}, nil
	}
	return s.drawnChart(r, v, c)
}

func (s *Server) drawnChart(r *http.Request, v logView, c logCount) (chart views.LogChart, err error) {
	if c.missing != "" {
		return views.LogChart{Missing: c.missing}, nil
	}
	h, err := s.events.HistogramOf(r.Context(), v.member.Workspace.ID, c.DeliveryFilter, c.step)
	if err != nil {
		return chart, err
	}
	chart = views.LogChart{Step: c.step, Until: h.Until, Since: h.Since}
	for _, count := range h.Counts {
		chart.Bars = append(chart.Bars, views.LogBar{Count: countOf(count), Href: v.zoom(count.Hour, c.step)})
	}
	return chart, nil
}

// showLogChart draws the chart alone, for a page that is there.
func (s *Server) showLogChart(w http.ResponseWriter, r *http.Request, m account.Member) error {
	v, err := s.logView(r, m)
	if err != nil {
		return err
	}
	if len(v.filter.Wrong) > 0 {
		return render(w, r, logStatus(v), views.LogChartPart(views.LogChart{}))
	}
	chart, err := s.drawnChart(r, v, chartOf(v))
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.LogChartPart(chart))
}

func countOf(c inbox.HourCount) views.Count {
	return views.Count{From: c.Hour, Accepted: c.Accepted, Duplicate: c.Duplicate, Refused: c.Refused}
}

// zoom is the address of one interval of the chart.
func (v logView) zoom(at time.Time, step time.Duration) string {
	return v.list(map[string]string{"range": "", "from": at.UTC().Format("2006-01-02T15:04"), "until": at.Add(step).UTC().Format("2006-01-02T15:04"), "zone": ""})
}
