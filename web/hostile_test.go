package web_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestHostileHistory asks each page of the history with what nobody means to send:
// the answer is a page or a refusal that says why, soon, and never an error of ours.
func TestHostileHistory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	base, key := "/w/"+s.home.slug, "/w/"+s.home.slug+"/keys/"+s.home.key.ID.String()
	filter := "range from until key outcome reason scheme auth generation address source ref q before after tail"
	hostile := []string{
		strings.Repeat("%", 10_000), "a\x00b", "\xff\xfe\xc3", "' OR 1=1 --\\", "-9223372036854775809", "9999999999-01-01T00:00:00Z", "0001-01-01T00:00:00",
		"::ffff:192.0.2.1%25x/129", s.foreign.key.ID.String(), s.foreign.at.String(), "ffffffff-ffff-ffff-ffff-ffffffffffff",
	}
	for _, page := range []struct{ method, path, fields string }{
		{"GET", base + "/deliveries", filter},
		{"GET", base + "/deliveries/" + s.home.at.String(), "q before after"},
		{"GET", base + "/deliveries/" + s.home.at.String() + "/drawer", "q before after"},
		{"GET", base + "/deliveries/look-up", "id"},
		{"GET", base + "/deliveries/export", "q until after format payloads"},
		{"HEAD", base + "/deliveries/tail", "q until after"},
		{"GET", base + "/usage", "range key"},
		{"GET", key, "range"},
		{"GET", key + "/from", "range"},
		{"GET", key + "/suspect", "from until address generation reason"},
		{"GET", base + "/signals", "suspect before after key"},
		{"GET", base + "/signals/erase", "ref source"},
		{"POST", key + "/suspect", "from until address generation reason"},
		{"POST", key + "/suspect/end", "mark"},
		{"POST", base + "/signals/erase", "ref source reason confirm"},
		{"POST", base + "/signals/retention", "keep unread payloads deliveries agreed"},
	} {
		for name := range strings.FieldsSeq(page.fields) {
			for _, value := range hostile {
				form := url.Values{}
				if page.method == "POST" { // the others are as they should be
					form = url.Values{
						"from": {"2026-01-01T00:00"}, "until": {"2026-01-02T00:00"}, "reason": {"why"}, "ref": {"x"}, "confirm": {"x"},
						"keep": {"30"}, "unread": {"90"}, "payloads": {"30"}, "deliveries": {"90"}, "agreed": {"30/90/90/30"},
					}
				}
				form.Set(name, value)
				if name == "ref" && page.method == "POST" {
					form.Set("confirm", value)
				}
				began, path := time.Now(), page.path
				if page.method != "POST" {
					path, form = path+"?"+form.Encode(), nil
				}
				got := c.do(page.method, path, form)
				if took := time.Since(began); got.StatusCode >= 500 || took > 10*time.Second {
					t.Errorf("%s %.120s with %s=%.30q = %d in %s\n%.300s", page.method, page.path, name, value, got.StatusCode, took, got.body)
				}
				if strings.Contains(got.body, "Foreign") {
					t.Errorf("%s %.120s with %s=%.30q tells of another workspace", page.method, page.path, name, value)
				}
			}
		}
	}
	for _, path := range []string{"?q=%zz", "?q=a;b", "?" + strings.Repeat("q=x&", 5000), "?before=" + uuid.Max.String() + "&after=" + uuid.Nil.String()} {
		for _, page := range []string{"/deliveries", "/deliveries/export", "/usage", "/signals"} {
			if got := c.get(base + page + path); got.StatusCode >= 500 {
				t.Errorf("%s%.60s = %d", page, path, got.StatusCode)
			}
		}
	}
}
