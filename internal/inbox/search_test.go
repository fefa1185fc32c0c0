package inbox_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"keyhook/internal/inbox"
)

// A logged is a delivery as a naive filter looks at it.
type logged struct {
	inbox.Arrival
	outcome inbox.Outcome
}

// fillLog adds requests of every sort, in batches, and returns them newest first.
func (p *place) fillLog(n int) (log []logged) {
	p.t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(n)))
	pick := func(texts ...string) string { return texts[r.IntN(len(texts))] }
	began := time.Now().UTC().Truncate(time.Second).Add(-2 * time.Hour)
	for i := range n {
		a := p.arrival(r.IntN(2), pick("", "r1", "r2", "r3", "100%", "a_b"), pick("alpha", "Beta 100%", "γάμμα", "a_b", "axb"))
		a.ReceivedAt = began.Add(time.Duration(i) * 17 * time.Second)
		a.ID = randomIDAt(a.ReceivedAt, r)
		a.Scheme, a.Method = pick("generic", "stripe", "github"), inbox.Method(pick("api_key", "signature", "url"))
		a.Generation, a.Source = r.IntN(3), pick("webhook", "shop")
		a.Address = pick("192.0.2.1", "192.0.2.77", "198.51.100.4", "2001:db8::1", "")
		a.UserAgent, a.Headers = pick("curl/8", "Agent_1", "100%"), pick("", `{"x-topic":"orders \"new\""}`, `{"x-topic":"Refund"}`)
		if r.IntN(3) == 0 {
			a.Refuse(inbox.Reason(pick("signature_wrong", "rate_limited", "invalid_json")), 401)
			a.SourceRef = ""
		}
		log = append(log, logged{Arrival: a, outcome: p.add(a)[0].Outcome})
	}
	slices.Reverse(log)
	return log
}

// randomIDAt is a request's id of a moment.
func randomIDAt(at time.Time, r *rand.Rand) (id uuid.UUID) {
	for i := range id {
		id[i] = byte(r.UintN(256))
	}
	for i, ms := 5, at.UnixMilli(); i >= 0; i-- {
		id[i], ms = byte(ms), ms>>8
	}
	id[6], id[8] = 0x70|id[6]&0x0f, 0x80|id[8]&0x3f
	return id
}

// means is the filter, naively.
func means(f inbox.DeliveryFilter, l logged) bool {
	fold := strings.ToLower
	inText := func() bool {
		headers := map[string]string{"": "", `{"x-topic":"orders \"new\""}`: `orders "new"`, `{"x-topic":"Refund"}`: "refund"}[l.Headers]
		if strings.Contains(fold(l.UserAgent), fold(f.Text)) || strings.Contains(headers, fold(f.Text)) || headers != "" && strings.Contains("x-topic", fold(f.Text)) {
			return true
		}
		return f.SeesBodies && l.outcome != inbox.Refused && strings.Contains(string(l.Body), f.Text)
	}
	address, _ := netip.ParseAddr(l.Address)
	return (f.From.IsZero() || !l.ReceivedAt.Before(f.From)) && (f.Until.IsZero() || l.ReceivedAt.Before(f.Until)) &&
		(f.Key == uuid.Nil || f.Key == l.KeyID) && (f.Outcome == "" || f.Outcome == l.outcome) && (f.Reason == "" || f.Reason == l.Reason) &&
		(f.Scheme == "" || f.Scheme == l.Scheme) && (f.Method == "" || f.Method == l.Method) && (f.Generation == 0 || f.Generation == l.Generation) &&
		(!f.Address.IsValid() || f.Address.Contains(address)) && (f.Source == "" || f.Source == l.Source) &&
		(f.SourceRef == "" || f.SourceRef == l.SourceRef) && (f.Text == "" || inText())
}

// parts are filters of one field each.
func (p *place) parts(log []logged) map[string][]inbox.DeliveryFilter {
	middle := log[len(log)/2].ReceivedAt
	return map[string][]inbox.DeliveryFilter{
		"none": {{}}, "from": {{From: middle}}, "until": {{Until: middle}}, "key": {{Key: p.keys[0]}},
		"outcome":    {{Outcome: inbox.Accepted}, {Outcome: inbox.Duplicate}, {Outcome: inbox.Refused}},
		"reason":     {{Reason: inbox.RateLimited}},
		"scheme":     {{Scheme: "stripe"}},
		"auth":       {{Method: inbox.ByURL}},
		"generation": {{Generation: 2}},
		"address": {
			{Address: netip.MustParsePrefix("192.0.2.77/32")},
			{Address: netip.MustParsePrefix("192.0.2.0/26")},
			{Address: netip.MustParsePrefix("2001:db8::/32")},
		},
		"source": {{Source: "shop"}}, "ref": {{SourceRef: "r2"}, {SourceRef: "a_b"}},
		"text": {
			{Text: "agent_", SeesBodies: true},
			{Text: "100%"},
			{Text: `s "N`},
			{Text: "a_b", SeesBodies: true},
			{Text: "beta", SeesBodies: true},
			{Text: "Beta"},
			{Text: "γά", SeesBodies: true},
			{Text: "X-Topic"},
			{Text: `\`, SeesBodies: true},
		},
	}
}

// join is both filters at once.
func join(a, b inbox.DeliveryFilter) inbox.DeliveryFilter {
	either := func(x, y string) string {
		if x != "" {
			return x
		}
		return y
	}
	a.Outcome, a.Reason = inbox.Outcome(either(string(a.Outcome), string(b.Outcome))), inbox.Reason(either(string(a.Reason), string(b.Reason)))
	a.Method, a.Scheme = inbox.Method(either(string(a.Method), string(b.Method))), either(a.Scheme, b.Scheme)
	a.Source, a.SourceRef, a.Text = either(a.Source, b.Source), either(a.SourceRef, b.SourceRef), either(a.Text, b.Text)
	a.Generation, a.SeesBodies = max(a.Generation, b.Generation), a.SeesBodies || b.SeesBodies
	if a.From.IsZero() {
		a.From = b.From
	}
	if a.Until.IsZero() {
		a.Until = b.Until
	}
	if a.Key == uuid.Nil {
		a.Key = b.Key
	}
	if !a.Address.IsValid() {
		a.Address = b.Address
	}
	return a
}

func idsOf(found []inbox.Delivery) (ids []uuid.UUID) {
	for _, d := range found {
		ids = append(ids, d.ID)
	}
	return ids
}

// TestSearch compares every filter alone, and each pair, with a naive filter.
func TestSearch(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	log := p.fillLog(400)
	var filters []inbox.DeliveryFilter
	parts := p.parts(log)
	for name, some := range parts {
		filters = append(filters, some...)
		for other, more := range parts {
			if name < other {
				filters = append(filters, join(some[0], more[0]), join(some[len(some)-1], more[len(more)-1]))
			}
		}
	}
	for _, f := range filters {
		var want []uuid.UUID
		for _, l := range log {
			if means(f, l) && len(want) < 500 {
				want = append(want, l.ID)
			}
		}
		found, err := p.events.Deliveries(t.Context(), p.workspace, inbox.Search{DeliveryFilter: f, Limit: 500})
		if err != nil {
			t.Fatalf("Deliveries(%+v) = %v", f, err)
		}
		if diff := cmp.Diff(want, idsOf(found.Deliveries)); diff != "" || found.More || found.Stopped != uuid.Nil {
			t.Errorf("Deliveries(%+v): more %v, stopped at %s (-want +got):\n%s", f, found.More, found.Stopped, diff)
		}
	}
	found, err := p.events.Deliveries(t.Context(), p.addWorkspace(), inbox.Search{Limit: 500})
	if err != nil || len(found.Deliveries) != 0 {
		t.Errorf("another workspace finds %d, %v", len(found.Deliveries), err)
	}
}

// TestSearchPages goes through the log in pages, back and forth, while requests come
// in: none is left out and none comes twice.
func TestSearchPages(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	log := p.fillLog(300)
	for _, f := range []inbox.DeliveryFilter{{}, {Key: p.keys[1]}, {Outcome: inbox.Refused}, {Scheme: "github"}, {Text: "alpha", SeesBodies: true}, {Address: netip.MustParsePrefix("2001:db8::1/128")}} {
		var want []uuid.UUID
		for _, l := range log {
			if means(f, l) {
				want = append(want, l.ID)
			}
		}
		search := inbox.Search{DeliveryFilter: f, Limit: 7}
		var older []uuid.UUID
		for page := 0; ; page++ {
			found, err := p.events.Deliveries(t.Context(), p.workspace, search)
			if err != nil {
				t.Fatal(err)
			}
			if older = append(older, idsOf(found.Deliveries)...); !found.More {
				break
			}
			search.Before = older[len(older)-1]
			late := p.arrival(0, fmt.Sprint("late", page, f), "late") // comes while somebody reads
			p.add(late)
		}
		if diff := cmp.Diff(want, slices.DeleteFunc(older, func(id uuid.UUID) bool { return !slices.Contains(want, id) })); diff != "" {
			t.Errorf("older pages of %+v (-want +got):\n%s", f, diff)
		}
		search.Before, search.After = uuid.Nil, want[len(want)-1]
		newer := []uuid.UUID{search.After}
		for more := true; more; search.After = newer[0] {
			found, err := p.events.Deliveries(t.Context(), p.workspace, search)
			if err != nil {
				t.Fatal(err)
			}
			newer, more = append(idsOf(found.Deliveries), newer...), found.More
		}
		if diff := cmp.Diff(want, slices.DeleteFunc(newer, func(id uuid.UUID) bool { return !slices.Contains(want, id) })); diff != "" {
			t.Errorf("newer pages of %+v (-want +got):\n%s", f, diff)
		}
	}
}

// TestHistogram: each interval has what a naive count has, from rows and from the
// hourly counts alike.
func TestHistogram(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	log := p.fillLog(300)
	p.rollUp()
	from, until := log[len(log)-1].ReceivedAt.Add(-time.Hour), log[0].ReceivedAt.Add(time.Second)
	for _, f := range []inbox.DeliveryFilter{{}, {Key: p.keys[0]}, {Outcome: inbox.Refused}, {Reason: inbox.RateLimited}, {Source: "shop"}, {SourceRef: "r1"}, {Address: netip.MustParsePrefix("192.0.2.77/32")}} {
		for _, step := range []time.Duration{time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour} {
			f.From, f.Until = from, until
			h, err := p.events.HistogramOf(t.Context(), p.workspace, f, step)
			if err != nil {
				t.Fatal(err)
			}
			whole := f
			whole.From, whole.Until = h.From, h.Until
			var want []inbox.HourCount
			for at := h.From; at.Before(h.Until); at = at.Add(step) {
				count := inbox.HourCount{Hour: at}
				for _, l := range log {
					if means(whole, l) && !l.ReceivedAt.Before(at) && l.ReceivedAt.Before(at.Add(step)) {
						*map[inbox.Outcome]*int64{inbox.Accepted: &count.Accepted, inbox.Duplicate: &count.Duplicate, inbox.Refused: &count.Refused}[l.outcome]++
					}
				}
				want = append(want, count)
			}
			if diff := cmp.Diff(want, h.Counts); diff != "" || !h.Since.IsZero() {
				t.Errorf("HistogramOf(%+v, %s) counts since %s (-want +got):\n%s", f, step, h.Since, diff)
			}
		}
	}
}
