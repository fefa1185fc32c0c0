package inbox_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
)

func TestReads(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if _, found, err := p.events.FirstOf(t.Context(), p.workspace, p.keys[0]); found || err != nil {
		t.Errorf("FirstOf before any request = %v, %v", found, err)
	}
	refused := []inbox.Arrival{p.refused(0, "1"), p.refused(0, "2")}
	p.add(refused...)
	first, found, err := p.events.FirstOf(t.Context(), p.workspace, p.keys[0])
	if err != nil || !found || first.ID != refused[1].ID || first.Outcome != inbox.Refused {
		t.Errorf("FirstOf = %+v, %v, %v, want the latest refused one", first, found, err)
	}
	sent := []inbox.Arrival{p.arrival(0, "r", "x"), p.arrival(0, "r", "x"), p.arrival(0, "s", "y"), p.arrival(1, "t", "z")}
	sent[2].UserAgent = "other"
	for i := range sent { // an hour that can't end meanwhile
		sent[i].ReceivedAt = sent[0].ReceivedAt.Truncate(time.Hour).Add(time.Duration(i+1) * time.Second)
	}
	p.add(sent...)
	first, _, err = p.events.FirstOf(t.Context(), p.workspace, p.keys[0])
	if err != nil || first.ID != sent[0].ID || first.SignalID == nil || *first.SourceRef != "r" {
		t.Errorf("FirstOf = %+v, %v, want the first accepted one", first, err)
	}
	recent, err := p.events.RecentOf(t.Context(), p.workspace, p.keys[0], 3)
	if err != nil || len(recent) != 3 || recent[0].ID != sent[2].ID || recent[2].ID != sent[0].ID {
		t.Errorf("RecentOf = %d deliveries, %v, want the newest three, newest first", len(recent), err)
	}
	since := time.Now().Add(-48 * time.Hour)
	usage, err := p.events.Usage(t.Context(), p.workspace, &p.keys[0], []time.Time{since.Truncate(time.Hour), time.Now().Truncate(time.Hour).Add(2 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if bar := usage.Bars[0]; bar.Accepted != 2 || bar.Duplicate != 1 || bar.Refused != 2 || bar.Reasons[inbox.SignatureWrong] != 2 {
		t.Errorf("Usage = %+v, want 2 accepted, a duplicate and 2 refused", bar)
	}
	hourly, err := p.events.Hourly(t.Context(), p.workspace, p.keys[:], since)
	if err != nil || len(hourly) != 2 || hourly[p.keys[1]][0].Accepted != 1 || !hourly[p.keys[1]][0].Hour.Equal(sent[0].ReceivedAt.Truncate(time.Hour)) {
		t.Errorf("Hourly = %v, %v", hourly, err)
	}
	senders, err := p.events.SendersOf(t.Context(), p.workspace, p.keys[0], since)
	if err != nil || len(senders) != 2 || senders[0].UserAgent != "other" || senders[1].Requests != 2 || !senders[1].LastAt.Equal(sent[1].ReceivedAt) {
		t.Errorf("SendersOf = %+v, %v, want two, the latest first", senders, err)
	}
}

// Another workspace's id finds nothing of a key.
func TestReadsOfAnotherWorkspace(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.add(p.arrival(0, "r", "x"), p.refused(0, "y"))
	other := p.addWorkspace()
	since := time.Now().Add(-time.Hour)
	recent, err1 := p.events.RecentOf(t.Context(), other, p.keys[0], 10)
	_, found, err2 := p.events.FirstOf(t.Context(), other, p.keys[0])
	usage, err3 := p.events.Usage(t.Context(), other, &p.keys[0], []time.Time{since.Truncate(time.Hour), time.Now().Truncate(time.Hour).Add(2 * time.Hour)})
	hourly, err4 := p.events.Hourly(t.Context(), other, p.keys[:], since)
	senders, err5 := p.events.SendersOf(t.Context(), other, p.keys[0], since)
	if len(recent)+len(usage.Keys)+len(hourly)+len(senders) != 0 || found {
		t.Errorf("found %d, %v, %d, %d, %d of another workspace", len(recent), found, len(usage.Keys), len(hourly), len(senders))
	}
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	old, young := p.refused(0, "old"), p.refused(0, "young")
	p.add(old, young)
	p.exec(`UPDATE refused_requests SET kept_at = now() - interval '7 days 1 second' WHERE delivery_id = $1`, old.ID)
	p.exec(`INSERT INTO refused_request_quotas SELECT 'old:' || n, now() - interval '1 day', 1 FROM generate_series(1, 2500) AS n`)
	keeper := inbox.NewStore(p.Maintenance(), p.box)
	if err := keeper.Forget(t.Context(), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uuid.UUID]bool{old.ID: false, young.ID: true} {
		if _, found, err := p.events.KeptOf(t.Context(), p.workspace, id); found != want || err != nil {
			t.Errorf("KeptOf = %v, %v, want %v", found, err, want)
		}
	}
	if n := p.count(`SELECT count(*) FROM refused_request_quotas WHERE scope LIKE 'old:%'`); n != 0 {
		t.Errorf("%d old quotas are left", n)
	}
	if n := p.count(`SELECT count(*) FROM deliveries`); n != 2 {
		t.Errorf("%d deliveries, want both", n)
	}
	weeks := p.count(`SELECT count(*) FROM pg_inherits WHERE inhparent = 'deliveries'::regclass`)
	p.exec(`DROP TABLE ` + p.lastWeek())
	for range 2 {
		if err := keeper.EnsureWeeks(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.count(`SELECT count(*) FROM pg_inherits WHERE inhparent = 'deliveries'::regclass`); n != weeks {
		t.Errorf("%d partitions, want %d", n, weeks)
	}
}

func (p *place) lastWeek() (name string) {
	p.t.Helper()
	const query = `SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'deliveries'::regclass`
	if err := p.Raw().Get(&name, query); err != nil {
		p.t.Fatal(err)
	}
	return name
}

func TestEveryReasonIsExplained(t *testing.T) {
	t.Parallel()
	for reason, text := range inbox.Reasons() {
		if text == "" || reason.Explain() != text {
			t.Errorf("%s is explained by %q", reason, text)
		}
	}
	if got := inbox.Reason("made up").Explain(); got != "" {
		t.Errorf("an unknown reason is explained by %q", got)
	}
}
