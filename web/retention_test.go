package web_test

import (
	"strings"
	"testing"
	"time"

	"keyhook/internal/inbox"
)

// TestRetentionTellsFirst: what would go is shown with its count, its oldest and the
// next run, and goes only with consent to the same values; the trail has both.
func TestRetentionTellsFirst(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/signals/retention"
	s.Raw().MustExec(`SELECT ensure_delivery_weeks(now() - interval '60 days', now())`)
	s.Raw().MustExec(`
		INSERT INTO deliveries (id, workspace_id, auth_method, outcome, reason, status, endpoint, address, headers, received_at)
		SELECT uuid_floor(now() - n * interval '1 day'), $1, 'none', 'refused', 'ip_not_allowed', 403, '/hooks', '', '{"a": "b"}', now() - n * interval '1 day'
		FROM generate_series(1, 40) AS n`, s.home.id)
	s.Raw().MustExec(`INSERT INTO retention_runs (began_at) VALUES (now())`)
	form := []string{"keep", "30", "unread", "90", "deliveries", "90", "payloads", "20"}
	got := c.post(path, form...)
	page := parse(t, got.body)
	row := page.Find(".facts div").First()
	oldest := row.Find("time").AttrOr("datetime", "")
	if got.StatusCode != 200 || page.Find(".facts div").Length() != 1 || row.Find(".num").Text() != "21" ||
		!strings.HasPrefix(oldest, time.Now().UTC().AddDate(0, 0, -40).Format(time.DateOnly)) || !strings.Contains(got.body, "goes next at about") {
		t.Fatalf("what will go = %d: %s", got.StatusCode, page.Find("main").Text())
	}
	stored := func() (days int) {
		if err := s.Raw().Get(&days, `SELECT keep_payloads_days FROM workspaces WHERE id = $1`, s.home.id); err != nil {
			t.Fatal(err)
		}
		return days
	}
	agreed := page.Find("input[name=agreed]").AttrOr("value", "")
	if got := c.post(path, "keep", "30", "unread", "90", "deliveries", "90", "payloads", "10", "agreed", agreed); got.StatusCode != 200 || stored() != 30 {
		t.Errorf("consent to 20 days did for 10: %d", got.StatusCode)
	}
	if got := c.post(path, append(form, "agreed", agreed)...); got.StatusCode != 303 || stored() != 20 {
		t.Errorf("with consent = %d, %d days", got.StatusCode, stored())
	}
	var trail string
	if err := s.Raw().Get(&trail, `SELECT before || after FROM audit_log WHERE action = 'workspace.retention_changed'`); err != nil ||
		!strings.Contains(trail, `"keep_payloads_days":30`) || !strings.Contains(trail, `"keep_payloads_days":20`) {
		t.Errorf("the trail says %s, %v", trail, err)
	}
}

// TestLimitedBodyIsExplained: a signal whose body the key's log does not keep says so.
func TestLimitedBodyIsExplained(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	s.Raw().MustExec(`UPDATE webhook_keys SET log = $2 WHERE id = (SELECT webhook_key_id FROM signals WHERE id = $1)`, s.home.at, inbox.KeepsHeaders)
	s.Raw().MustExec(`UPDATE deliveries SET body = NULL WHERE id = $1`, s.home.at)
	got := c.get("/w/" + s.home.slug + "/signals/" + s.home.at.String())
	if !strings.Contains(got.body, "Not kept: this key’s log keeps headers and hash only.") {
		t.Errorf("the page says %s", parse(t, got.body).Find("main").Text())
	}
}
