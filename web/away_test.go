package web_test

import (
	"bufio"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keyhook/internal/pgtest"
	"keyhook/web"
)

// TestDatabaseGoesAway: without its database each page of the history says so and
// in how it may go on, nothing is half done, and all is well once it is back.
func TestDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	direct := pgtest.New(t)
	through, door := direct.Behind()
	s := newStageOn(t, through, func(c *web.Config) { c.TailCheck = 50 * time.Millisecond })
	s.raw = direct.Raw()
	s.runs()
	s.Raw().MustExec(`INSERT INTO deliveries (id, workspace_id, auth_method, outcome, status, endpoint, address, received_at)
		SELECT (left(uuid_floor(now() - interval '1 hour')::text, 24) || lpad(to_hex(n), 12, '0'))::uuid, $1, 'none', 'refused', 401, '/hooks', '192.0.2.1', now()
		FROM generate_series(1, 60000) AS n`, s.home.id)
	c := s.signIn(s.home.owner)
	base := "/w/" + s.home.slug
	export, err := c.Get(s.server.URL + base + "/deliveries/export")
	if err != nil {
		t.Fatal(err)
	}
	defer export.Body.Close()
	file := bufio.NewReader(export.Body)
	if line, err := file.ReadString('\n'); err != nil || !strings.HasPrefix(line, "{") {
		t.Fatalf("the export begins with %q, %v", line, err)
	}
	live := c.tail("")
	first := s.arrive(s.home, "order.before", "application/json", "{}").String()
	live.until("delivery-" + first)
	before := s.rows("audit_log", "audit_heads") // reading a payload leaves one
	s.asksWithout(c, door)
	door.Shut()
	var rest strings.Builder
	if _, err := file.WriteTo(&rest); err == nil || strings.Contains(rest.String(), `"end":true`) || export.Trailer.Get("Keyhook-Export") != "" {
		t.Errorf("an export whose database went away ends with %v, after %d bytes", err, rest.Len())
	}
	for open := true; open; _, open = <-live.lines { // so that the page says that it is cut off
	}

	if err := door.Open(); err != nil {
		t.Fatal(err)
	}
	if got := c.get(base + "/deliveries"); got.StatusCode != 200 {
		t.Errorf("with the database back the page is %d", got.StatusCode)
	}
	after := s.rows("audit_log", "audit_heads")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("without a database something was half done:\n%s", diff)
	}
	live = c.tail("?after=" + first)
	live.until("delivery-" + s.arrive(s.home, "order.after", "application/json", "{}").String())
}

// asksWithout asks for each page with the database going away in its midst.
func (s *stage) asksWithout(c *client, door *pgtest.Door) {
	s.t.Helper()
	base, key, request := "/w/"+s.home.slug, "/w/"+s.home.slug+"/keys/"+s.home.key.ID.String(), "/w/"+s.home.slug+"/deliveries/"+s.home.at.String()
	mark := url.Values{"from": {"2026-01-01T00:00"}, "until": {"2026-01-02T00:00"}, "reason": {"why"}}
	for _, ask := range []struct {
		path, at string
		form     url.Values
	}{
		{base + "/deliveries", "FROM sessions", nil},
		{base + "/deliveries?q=text", "FROM deliveries", nil},
		{request, "FROM deliveries", nil},
		{request + "/drawer", "INTO audit_log", nil},
		{request + "/body", "INTO audit_log", nil},
		{base + "/deliveries/export?format=csv", "INTO audit_log", nil},
		{base + "/deliveries/tail?after=" + s.home.at.String(), "FROM deliveries", nil},
		{base + "/usage", "usage_by", nil},
		{key + "/from", "FROM key_addresses", nil},
		{key + "/suspect", "FROM suspect_ranges", nil},
		{key + "/suspect", "INTO suspect_ranges", mark},
		{key + "/suspect/end", "suspect_ranges", url.Values{"mark": {s.home.at.String()}}},
		{base + "/signals/erase", "FROM erasures", nil},
		{base + "/signals/erase/list", "FROM erasures", nil},
		{base + "/signals/erase", "INTO erasures", url.Values{"ref": {"x"}, "confirm": {"x"}, "reason": {"why"}}},
		{base + "/signals/erase", "INTO audit_log", url.Values{"ref": {"x"}, "confirm": {"x"}, "reason": {"why"}}},
		{base + "/signals/retention", "FROM retention_runs", nil},
		{base + "/signals/retention", "INTO audit_log", url.Values{"keep": {"300"}, "unread": {"300"}, "payloads": {"300"}, "deliveries": {"300"}}},
	} {
		method := "GET"
		if ask.form != nil {
			method = "POST"
		}
		door.ShutAt(ask.at)
		got := c.do(method, ask.path, ask.form)
		if text := parse(s.t, got.body).Find(".problem[role=alert]").Text(); got.StatusCode != 503 || !strings.Contains(text, "The database did not answer in time") {
			s.t.Errorf("%s %s, cut at %s = %d, says %q", method, ask.path, ask.at, got.StatusCode, text)
		}
		if got.Header.Get("Content-Disposition") != "" || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
			s.t.Errorf("%s %s, cut at %s, is a file to keep: %v", method, ask.path, ask.at, got.Header)
		}
		if err := door.Reopen(); err != nil {
			s.t.Fatal(err)
		}
	}
}
