package web_test

import (
	"strings"
	"testing"
)

// TestExportDeliveries: who asks for what in the address gets that as a file, and nobody gets
// more than was meant or may be seen.
func TestExportDeliveries(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.arrive(s.home, "=1+1", "application/json", `{"secret":"of home"}`)
	s.arrive(s.foreign, "theirs", "application/json", `{"secret":"of foreign"}`)
	path := "/w/" + s.home.slug + "/deliveries/export"
	owner, auditor := s.signIn(s.home.owner), s.signIn(s.join("auditor"))
	for _, tt := range []struct {
		who       *client
		query     string
		status    int
		has, not  string
		mediaType string
	}{
		{owner, "", 200, `"eventType":"=1+1"`, "of home", "application/x-ndjson"},
		{owner, "?format=ndjson&payloads=1", 200, `{\"secret\":\"of home\"}`, "theirs", "application/x-ndjson"},
		{owner, "?format=csv", 200, `"'=1+1"`, "theirs", "text/csv"},
		{owner, "?outcome=refused", 200, `{"end":true,"rows":0,`, `"id"`, "application/x-ndjson"},
		{owner, "?key=" + s.foreign.key.ID.String(), 200, `{"end":true,"rows":0,`, `"id"`, "application/x-ndjson"},
		{auditor, "", 200, `"end":true`, "of home", "application/x-ndjson"},
		{auditor, "?payloads=1", 403, "", "of home", "text/html"},
		{owner, "?format=xlsx", 422, "", `"end"`, "text/html"},
		{owner, "?after=x", 422, "", `"end"`, "text/html"},
		{owner, "?payloads=yes", 422, "", `"end"`, "text/html"},
		{owner, "?outcome=rejected", 422, "", `"end"`, "text/html"},
		{owner, "?key=x", 422, "", `"end"`, "text/html"},
		{owner, "?from=yesterday", 422, "", `"end"`, "text/html"},
		{owner, "?address=x", 422, "", `"end"`, "text/html"},
	} {
		got := tt.who.get(path + tt.query)
		if got.StatusCode != tt.status || !strings.Contains(got.body, tt.has) || strings.Contains(got.body, tt.not) || !strings.HasPrefix(got.Header.Get("Content-Type"), tt.mediaType) {
			t.Errorf("export%s = %d, %s, want %d, with %q, without %q\n%.600s", tt.query, got.StatusCode, got.Header.Get("Content-Type"), tt.status, tt.has, tt.not, got.body)
		}
		if whole := got.Trailer.Get("Keyhook-Export") == "whole"; whole != (tt.status == 200) {
			t.Errorf("the trailer of export%s says whole %v", tt.query, whole)
		}
	}
	var records int
	if err := s.Raw().Get(&records, `SELECT count(*) FROM audit_log WHERE action LIKE 'deliveries.export%'`); err != nil || records != 2*6 {
		t.Errorf("%d records of 6 exports, %v, want 12", records, err)
	}
}

// TestExportEndsWithItsServer: a server that stops cuts an export so that its reader
// sees it, and records that.
func TestExportEndsWithItsServer(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Raw().MustExec(`INSERT INTO deliveries (id, workspace_id, auth_method, outcome, status, endpoint, address, received_at)
		SELECT (left(uuid_floor(now() - interval '1 hour')::text, 24) || lpad(to_hex(n), 12, '0'))::uuid, $1, 'none', 'refused', 401, '/hooks', '192.0.2.1', now()
		FROM generate_series(1, 100000) AS n`, s.home.id)
	response, err := s.signIn(s.home.owner).Get(s.server.URL + "/w/" + s.home.slug + "/deliveries/export")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	s.web.Drain()
	var text strings.Builder
	buffer := make([]byte, 64<<10)
	for err == nil {
		var n int
		n, err = response.Body.Read(buffer)
		text.Write(buffer[:n])
	}
	if whole := strings.Contains(text.String(), `"end":true`); whole != (err.Error() == "EOF") {
		t.Errorf("the answer ends with %v, and says that it is whole: %v", err, whole)
	}
	var ended string
	if err := s.Raw().Get(&ended, `SELECT after FROM audit_log WHERE action = 'deliveries.export_ended'`); err != nil || !strings.Contains(ended, `"whole":false`) {
		t.Errorf("the trail says %s, %v", ended, err)
	}
}
