package web_test

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
)

// request stores a request of a workspace's key as ingestion does, changed as asked.
func (s *stage) request(w workspace, body string, change func(*inbox.Arrival)) uuid.UUID {
	s.t.Helper()
	a := inbox.Arrival{
		ID: uuid.Must(uuid.NewV7()), WorkspaceID: w.id, KeyID: w.key.ID, KeyVersion: w.key.Version, Generation: 1, Method: inbox.ByAPIKey, Status: 200,
		Scheme: "generic", Endpoint: "/hooks/{key id}", Address: "192.0.2.1", UserAgent: "curl/8", ContentType: "application/json", Headers: `{"x-topic":"orders"}`,
		EventType: "order.created", Source: w.key.Source, Body: []byte(body), BodySize: int64(len(body)), WatchBody: true,
		ReceivedAt: time.Now().UTC().Truncate(time.Microsecond), Began: time.Now(),
	}
	change(&a)
	err := s.ingestion.InTx(context.Background(), func(tx *sqlx.Tx) error {
		_, err := inbox.NewAppender(s.box).Append(context.Background(), tx, []inbox.Arrival{a})
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return a.ID
}

func refuse(reason inbox.Reason, signature string) func(*inbox.Arrival) {
	return func(a *inbox.Arrival) {
		a.Refuse(reason, 401)
		a.Signature, a.Generation = signature, 0
	}
}

// shownIn are the ids of the requests that a page lists.
func shownIn(t *testing.T, a answer) (ids []string) {
	t.Helper()
	for _, row := range parse(t, a.body).Find(".deliveries tr.hit").EachIter() {
		ids = append(ids, strings.TrimPrefix(row.AttrOr("id", ""), "delivery-"))
	}
	return ids
}

// TestDeliveryFilters: each field of the filter in the address filters, stands in its
// field and can be taken out; what can't be understood is told at its field.
func TestDeliveryFilters(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Raw().MustExec(`UPDATE deliveries SET received_at = received_at - interval '1 hour'`)
	id := s.request(s.home, `{"canary":"sparrow"}`, func(a *inbox.Arrival) {
		a.SourceRef, a.Method, a.Scheme, a.Generation, a.Address, a.Source = "evt_7", inbox.BySignature, "stripe", 3, "203.0.113.9", "shop"
	})
	refused := s.request(s.home, "{}", refuse(inbox.SignatureWrong, ""))
	c, path := s.signIn(s.home.owner), "/w/"+s.home.slug+"/deliveries"
	day := time.Now().UTC().Format("2006-01-02")
	for query, want := range map[string]string{
		"scheme=stripe": id.String(), "auth=signature": id.String(), "generation=3": id.String(), "address=203.0.113.9": id.String(),
		"address=203.0.113.0/24": id.String(), "source=shop": id.String(), "ref=evt_7": id.String(), "q=sparrow": id.String(),
		"outcome=refused": refused.String(), "reason=signature_wrong": refused.String(), "outcome=refused&range=1h": refused.String(),
		"source=shop&from=" + day: id.String(), "source=shop&until=2001-01-01": "", "source=shop&from=2999-01-01": "",
		"source=shop&key=" + s.home.key.ID.String(): id.String(),
	} {
		got := c.get(path + "?" + query)
		if ids := strings.Join(shownIn(t, got), " "); ids != want || got.StatusCode != 200 {
			t.Errorf("%s = %d, shows %q, want %q", query, got.StatusCode, ids, want)
		}
		doc, values := parse(t, got.body), mustQuery(t, query)
		for name := range values {
			field := doc.Find("#" + name)
			if value := field.AttrOr("value", field.Find("option[selected]").AttrOr("value", "")); name != "outcome" && value != values.Get(name) && value != values.Get(name)+" 00:00" { // a day is its first moment
				t.Errorf("%s: the field %s has %q", query, name, value)
			}
		}
		if doc.Find(".chip a").Length() == 0 {
			t.Errorf("%s: nothing says what is filtered", query)
		}
		for _, link := range doc.Find(".deliveries .c-time a").EachIter() {
			if href := link.AttrOr("href", ""); !strings.Contains(href, "?"+strings.Split(values.Encode(), "&")[0][:4]) && !strings.Contains(href, "?") {
				t.Errorf("%s: the filter is lost at %s", query, href)
			}
		}
	}
	for query, field := range map[string]string{
		"from=then": "from", "until=soon": "until", "generation=-1": "generation", "address=here": "address", "key=" + s.foreign.key.ID.String(): "key", "key=x": "key",
		"reason=none": "reason", "auth=magic": "auth", "q=" + strings.Repeat("x", 300): "q", "from=2026-02-01&until=2026-01-01": "until",
	} {
		got := c.get(path + "?" + query)
		doc := parse(t, got.body)
		if got.StatusCode != 422 || doc.Find("#"+field+"-error").Length() != 1 || len(shownIn(t, got)) != 0 {
			t.Errorf("%.40s = %d, with %d messages at %s and %d requests; want 422 and one message", query, got.StatusCode, doc.Find("#"+field+"-error").Length(), field, len(shownIn(t, got)))
		}
	}
}

func mustQuery(t *testing.T, text string) url.Values {
	t.Helper()
	values, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// TestDeliveryPages follows Older to the end and Newer back to the front.
func TestDeliveryPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for n := range 119 {
		s.request(s.home, "{}", func(a *inbox.Arrival) { a.SourceRef = fmt.Sprint(n) })
	}
	c := s.signIn(s.home.owner)
	path, seen, back := "/w/"+s.home.slug+"/deliveries", map[string]bool{}, ""
	for path != "" {
		page := c.get(path)
		for _, id := range shownIn(t, page) {
			seen[id] = true
		}
		doc := parse(t, page.body)
		back = doc.Find(`nav[aria-label=Pages] a:contains("Newer")`).AttrOr("href", "")
		path = doc.Find(`nav[aria-label=Pages] a:contains("Older")`).AttrOr("href", "")
	}
	if len(seen) != 120 {
		t.Errorf("%d requests on all pages, want 120", len(seen))
	}
	for range 2 {
		page := c.get(back)
		if n := len(shownIn(t, page)); n != 50 {
			t.Errorf("going back shows %d requests, want 50", n)
		}
		back = parse(t, page.body).Find(`nav[aria-label=Pages] a:contains("Newer")`).AttrOr("href", "")
	}
	if back != "" {
		t.Errorf("in front of the first page is %s", back)
	}
}

// TestDelivery: a request's page says how it was checked, what it repeats, and shows
// its body; of a presented signature only the end.
func TestDelivery(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	same := func(a *inbox.Arrival) { a.SourceRef = "r" }
	first, second := s.request(s.home, `{"n":1}`, same), s.request(s.home, `{"n":2}`, same)
	wrong := s.request(s.home, `{"canary":"<b>sparrow"}`, refuse(inbox.SignatureWrong, "sha256=0123456789abcdef0123456789abc07e"))
	c, base := s.signIn(s.home.owner), "/w/"+s.home.slug+"/deliveries/"
	for _, part := range []string{"", "/drawer"} {
		doc := parse(t, c.get(base+second.String()+part).body)
		if href := doc.Find(`#related-h ~ dl dt:contains("Original") + dd a`).AttrOr("href", ""); href != base+first.String() {
			t.Errorf("%q: the original is at %q", part, href)
		}
		if !strings.Contains(doc.Find(".drawer .note").Text(), "another body") {
			t.Errorf("%q: nothing says that the body differs: %s", part, doc.Find(".drawer .note").Text())
		}
		doc = parse(t, c.get(base+first.String()+part).body)
		if href := doc.Find(`#related-h ~ dl dt:contains("Duplicate") + dd a`).AttrOr("href", ""); href != base+second.String() {
			t.Errorf("%q: the duplicate is at %q", part, href)
		}
	}
	got := c.get(base + wrong.String())
	doc := parse(t, got.body)
	if text := doc.Find(".trace .bad").Text(); !strings.Contains(text, "Proof holds") || !strings.Contains(text, "got …c07e") {
		t.Errorf("the failed check is %q", text)
	}
	if ok, skipped := doc.Find(".trace .ok").Length(), doc.Find(".trace .skip-step").Length(); ok != 3 || skipped != 5 {
		t.Errorf("%d checks passed and %d were not reached, want 3 and 5", ok, skipped)
	}
	if strings.Contains(got.body, "789abc07e") || !strings.Contains(doc.Find(".payload").Text(), "<b>sparrow") {
		t.Errorf("the page shows more of the signature than its end, or not the body: %s", doc.Find(".payload").Text())
	}
	raw := c.get(base + wrong.String() + "/body")
	if raw.body != `{"canary":"<b>sparrow"}` || raw.Header.Get("Content-Type") != "application/octet-stream" || raw.Header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(raw.Header.Get("Content-Disposition"), "attachment") || !strings.Contains(raw.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the raw body is %q with %v", raw.body, raw.Header)
	}
}

// TestDeliveryPayloads: an auditor sees bodies, and finds text in them, only where
// the workspace says so; who opened one is in the trail.
func TestDeliveryPayloads(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.request(s.home, `{"canary":"sparrow"}`, func(*inbox.Arrival) {})
	auditor, base := s.signIn(s.join("auditor")), "/w/"+s.home.slug+"/deliveries"
	for _, may := range []bool{false, true} {
		s.Raw().MustExec(`UPDATE workspaces SET auditors_see_payloads = $1`, may)
		for _, path := range []string{"/" + id.String(), "/" + id.String() + "/drawer"} {
			if got := auditor.get(base + path); got.StatusCode != 200 || strings.Contains(got.body, "sparrow") != may {
				t.Errorf("%s for an auditor, payloads %v = %d, shows the body %v", path, may, got.StatusCode, !may)
			}
		}
		if got := len(shownIn(t, auditor.get(base+"?q=sparrow"))) == 1; got != may {
			t.Errorf("an auditor finds text in a body: %v, payloads %v", got, may)
		}
		if got := auditor.get(base + "/" + id.String() + "/body"); got.StatusCode != map[bool]int{false: 403, true: 200}[may] {
			t.Errorf("the raw body for an auditor, payloads %v = %d", may, got.StatusCode)
		}
	}
	var entries int
	if err := s.Raw().Get(&entries, `SELECT count(*) FROM audit_log WHERE action = $1 AND target_id = $2`, audit.DeliveryViewed, id.String()); err != nil || entries != 3 {
		t.Errorf("%d entries say who opened the body, %v; want 3", entries, err)
	}
}

// bare is all of an answer about a request but the request's id and what is new in
// every answer.
func (a answer) bare(id uuid.UUID) string {
	header := a.Header.Clone()
	for _, name := range []string{"Date", "X-Request-Id"} {
		header.Del(name)
	}
	nonces := regexp.MustCompile(`nonce-[^']*|nonce="[^"]*"`)
	text := fmt.Sprint(a.Status, header, a.body)
	return strings.ReplaceAll(nonces.ReplaceAllString(text, ""), id.String(), "")
}

// TestElsewhere: of a request that is another workspace's or nobody's, a member gets
// the time and the status, and not which of the two it is.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	at := time.Now().UTC().Truncate(time.Microsecond)
	alike := func(tail byte, change func(*inbox.Arrival)) func(*inbox.Arrival) {
		return func(a *inbox.Arrival) {
			refuse(inbox.UnknownAPIKey, "")(a)
			a.ReceivedAt, a.ID = at, uuid.Must(uuid.NewV7())
			for i, ms := 5, at.UnixMilli(); i >= 0; i-- {
				a.ID[i], ms = byte(ms), ms>>8
			}
			a.ID[15] = tail
			change(a)
		}
	}
	anothers := s.request(s.foreign, `{"canary":"sparrow"}`, alike(1, func(*inbox.Arrival) {}))
	nobodys := s.request(s.foreign, "x", alike(2, func(a *inbox.Arrival) { a.WorkspaceID, a.KeyID, a.Source, a.Scheme = uuid.Nil, uuid.Nil, "", "" }))
	base := "/w/" + s.home.slug + "/deliveries/"
	for _, role := range []string{"member", "auditor"} {
		c := s.signIn(s.join(role))
		one, other := c.get(base+anothers.String()), c.get(base+nobodys.String())
		facts := parse(t, one.body).Find(".facts")
		if diff := cmp.Diff(one.bare(anothers), other.bare(nobodys)); one.StatusCode != 404 || diff != "" {
			t.Errorf("for a %s another's request = %d and nobody's differ (-another's +nobody's):\n%s", role, one.StatusCode, diff)
		}
		for _, part := range []string{"/drawer", "/body"} {
			one, other, none := c.get(base+anothers.String()+part), c.get(base+nobodys.String()+part), c.get(base+uuid.Must(uuid.NewV7()).String()+part)
			if one.masked() != other.masked() || one.masked() != none.masked() || strings.Contains(one.body, "401") {
				t.Errorf("for a %s %s of another's request = %d, of nobody's %d, of none %d; want the same", role, part, one.StatusCode, other.StatusCode, none.StatusCode)
			}
		}
		if text := facts.Text(); !strings.Contains(text, at.Format("2 Jan 2006, 15:04:05.000 UTC")) || !strings.Contains(text, "401") || facts.Find("dt").Length() != 3 {
			t.Errorf("a %s is told %q, want id, time and status", role, text)
		}
		if strings.Contains(one.body, "sparrow") || strings.Contains(one.body, "Foreign") {
			t.Errorf("a %s is told more than that:\n%s", role, one.body)
		}
		unknown, malformed := c.get(base+uuid.Must(uuid.NewV7()).String()), c.get(base+"x'--")
		if unknown.StatusCode != 404 || unknown.masked() != malformed.masked() {
			t.Errorf("for a %s an unknown id = %d and a malformed one %d, want the same 404", role, unknown.StatusCode, malformed.StatusCode)
		}
	}
	c := s.signIn(s.home.owner)
	if got := c.get("/w/" + s.home.slug + "/deliveries/look-up?id=" + anothers.String()); got.StatusCode != 303 || got.Header.Get("Location") != base+anothers.String() {
		t.Errorf("looking up an id = %d to %s", got.StatusCode, got.Header.Get("Location"))
	}
	if got := c.get("/w/" + s.home.slug + "/deliveries/look-up?id=%00x"); got.StatusCode != 422 || parse(t, got.body).Find("#id-error").Length() != 1 {
		t.Errorf("looking up what is no id = %d", got.StatusCode)
	}
}

// TestChartComesBehind: a chart that must be counted row by row has an address of its
// own, and a link to the page with it; one that is counted already is there at once.
func TestChartComesBehind(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.request(s.home, "{}", func(a *inbox.Arrival) { a.Scheme = "stripe" })
	c, path := s.signIn(s.home.owner), "/w/"+s.home.slug+"/deliveries"
	if doc := parse(t, c.get(path+"?range=7d").body); doc.Find("#log-caption").Length() != 1 || doc.Find(".log-chart-later").Length() != 0 {
		t.Errorf("the chart of a week is not there with the page")
	}
	page := c.get(path + "?scheme=stripe")
	later := parse(t, page.body).Find(".log-chart-later")
	if ids := strings.Join(shownIn(t, page), " "); ids != id.String() || later.Length() != 1 {
		t.Fatalf("the page shows %q and %d places for a chart", ids, later.Length())
	}
	for _, address := range []string{later.AttrOr("hx-get", ""), later.Find("a").AttrOr("href", "")} {
		got := c.get(address)
		if caption := parse(t, got.body).Find("#log-caption").Text(); got.StatusCode != 200 || !strings.Contains(caption, "1 accepted") {
			t.Errorf("%s = %d, %q", address, got.StatusCode, caption)
		}
	}
	if got := c.get(path + "/chart?generation=x"); got.StatusCode != 422 || strings.Contains(got.body, "<svg viewBox") {
		t.Errorf("the chart of a wrong filter = %d", got.StatusCode)
	}
}
