package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/views"
)

// upkeepEvery is how often what is past its time goes.
const upkeepEvery = 10 * time.Minute

func (s *Server) showRetention(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderRetention(w, r, m, http.StatusOK, "Retention", retentionPage(m.Workspace.Retention()))
}

func retentionPage(r account.Retention) views.RetentionPage {
	return views.RetentionPage{
		Keep: strconv.Itoa(r.Keep), Unread: strconv.Itoa(r.Unread), Deliveries: strconv.Itoa(r.Deliveries), Payloads: strconv.Itoa(r.Payloads),
	}
}

// renderRetention shows the form, or what will go.
func (s *Server) renderRetention(w http.ResponseWriter, r *http.Request, m account.Member, status int, title string, page views.RetentionPage) (err error) {
	if page.Page, err = s.page(w, r, m, title); err != nil {
		return err
	}
	last, err := s.events.LastRun(r.Context())
	if err != nil {
		return err
	}
	page.NextRun = nextRun(last, page.Now)
	return render(w, r, status, views.RetentionEdit(page))
}

// nextRun is when what is past its time goes next; nil: it can't be told, since the
// last run is too long ago.
func nextRun(last, now time.Time) *time.Time {
	next := last.Add(upkeepEvery)
	if next.Before(now) {
		return nil
	}
	return &next
}

// foretell says what a retention would take now.
func (s *Server) foretell(r *http.Request, m account.Member, to account.Retention) (inbox.Forecast, error) {
	day := 24 * time.Hour
	rule := inbox.Rule{
		Workspace: m.Workspace.ID, Keep: time.Duration(to.Keep) * day, KeepUnread: time.Duration(to.Unread) * day,
		Log: time.Duration(to.Deliveries) * day, Payloads: time.Duration(to.Payloads) * day,
	}
	tokens, err := s.keys.Tokens(r.Context(), m.Workspace.ID)
	if err != nil {
		return inbox.Forecast{}, err
	}
	now := time.Now()
	for _, token := range tokens {
		if token.Reads(now) {
			rule.Readers = append(rule.Readers, token.ID)
		}
	}
	return s.events.Foretell(r.Context(), now, rule)
}

// setRetention stores a retention. Where something would go by it, that is shown
// first, and the same values must come again with the consent.
func (s *Server) setRetention(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	days := func(name string) int {
		n, _ := strconv.Atoi(strings.TrimSpace(r.PostFormValue(name))) // 0 is refused
		return n
	}
	to := account.Retention{Keep: days("keep"), Unread: days("unread"), Deliveries: days("deliveries"), Payloads: days("payloads")}
	page := views.RetentionPage{
		Keep: r.PostFormValue("keep"), Unread: r.PostFormValue("unread"), Deliveries: r.PostFormValue("deliveries"), Payloads: r.PostFormValue("payloads"),
	}
	err := to.Check()
	if err == nil && to != m.Workspace.Retention() && r.PostFormValue("agreed") != consent(to) {
		forecast, err := s.foretell(r, m, to)
		if err != nil {
			return err
		}
		if forecast.Any() {
			page = retentionPage(to)
			page.Going, page.Agreed = going(forecast), consent(to)
			return s.renderRetention(w, r, m, http.StatusOK, "What will go", page)
		}
	}
	if err == nil {
		err = s.accounts.SetRetention(r.Context(), s.actor(r, m), to)
	}
	if f, ok := fault.Of(err); err != nil && ok && f.Kind == fault.Invalid {
		page.Errors = f.Fields()
		return s.renderRetention(w, r, m, http.StatusUnprocessableEntity, "Error: Retention", page)
	}
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "Saved. What is past its time goes within ten minutes."})
	return redirect(w, r, "/w/"+m.Workspace.Slug+"/signals")
}

// consent is what was agreed to.
func consent(to account.Retention) string {
	return fmt.Sprintf("%d/%d/%d/%d", to.Keep, to.Unread, to.Deliveries, to.Payloads)
}

func going(f inbox.Forecast) []views.Going {
	var rows []views.Going
	for _, row := range []struct {
		what string
		inbox.Going
	}{
		{"Signals, all of them read", inbox.Going{Count: f.Signals.Count - f.Unread.Count, Oldest: f.Signals.Oldest}},
		{"Signals that a reader has not read", f.Unread},
		{"Deliveries in the log", f.Deliveries},
		{"Bodies and headers in the log", f.Payloads},
	} {
		if row.Count > 0 {
			rows = append(rows, views.Going{What: row.what, Count: row.Count, Oldest: *row.Oldest})
		}
	}
	return rows
}
