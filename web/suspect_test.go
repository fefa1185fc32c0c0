package web_test

import (
	"strings"
	"testing"
	"time"
)

// TestSuspectPages: what a mark covers is told before it is made, and the mark is
// seen on the key's marks, the list and the signal, until it is taken back.
func TestSuspectPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/keys/" + s.home.key.ID.String()
	from, until := time.Now().UTC().Add(-time.Hour).Format("2006-01-02T15:04:05"), time.Now().UTC().Add(2*time.Second).Format("2006-01-02T15:04:05")
	preview := parse(t, c.get(path+"/suspect?from="+from+"&until="+until).body)
	if got := strings.TrimSpace(preview.Find("#preview-h").Text()); got != "1 signal" {
		t.Errorf("the preview says %q, want 1 signal", got)
	}
	if a := c.post(path+"/suspect", "from", from, "until", until, "reason", ""); a.StatusCode != 422 || parse(t, a.body).Find("#reason-error").Length() != 1 {
		t.Errorf("without a reason: %d", a.StatusCode)
	}
	if a := c.post(path+"/suspect", "from", from, "until", until, "reason", "<img src=x>"); a.StatusCode != 303 {
		t.Fatalf("marking = %d %s", a.StatusCode, a.body)
	}
	signal := "/w/" + s.home.slug + "/signals"
	if got := parse(t, c.get(signal+"/"+s.home.at.String()).body).Find(".note-warn").Text(); !strings.Contains(got, "<img src=x>") || !strings.Contains(got, "Home owner") {
		t.Errorf("the signal's page says %q", got)
	}
	if got := parse(t, c.get(signal+"?suspect=true").body).Find(".sigs .pill-warn").Length(); got != 1 {
		t.Errorf("%d signals are listed as suspect, want 1", got)
	}
	marks := parse(t, c.get(path+"/suspect").body)
	id, _ := marks.Find("input[name=mark]").Attr("value")
	if a := c.post(path+"/suspect/end", "mark", id); a.StatusCode != 303 {
		t.Errorf("taking it back = %d", a.StatusCode)
	}
	if got := parse(t, c.get(signal+"?suspect=true").body).Find(".sigs").Length(); got != 0 {
		t.Error("a signal is suspect though the mark was taken back")
	}
	if got := parse(t, c.get(path+"/from").body).Find(".from-list li").Length(); got == 0 {
		t.Error("the page of where from lists nothing")
	}
}

// TestErasePage: the id is typed twice, and what goes on is told.
func TestErasePage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	c := s.signIn(s.home.owner)
	path := "/w/" + s.home.slug + "/signals/erase"
	if a := c.post(path, "ref", "subject", "reason", "asked", "confirm", "Subject"); a.StatusCode != 422 || parse(t, a.body).Find("#confirm-error").Length() != 1 {
		t.Errorf("with another id typed again: %d", a.StatusCode)
	}
	if a := c.post(path, "ref", "subject", "reason", "asked", "confirm", "subject"); a.StatusCode != 303 {
		t.Fatalf("erasing = %d %s", a.StatusCode, a.body)
	}
	list := parse(t, c.get(path).body).Find("#erasures")
	if _, asks := list.Attr("hx-get"); !asks || !strings.Contains(list.Text(), "Goes on") {
		t.Errorf("the list says %q", list.Text())
	}
}
