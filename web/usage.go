package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

// spans are the ranges of the charts: the moments between which a range ending now
// is drawn. Where it has days, they begin at midnight UTC and not at any hour.
var spans = map[string]func(now time.Time) []time.Time{
	"24h": func(now time.Time) []time.Time { return steps(24, time.Hour, now.Truncate(time.Hour).Add(time.Hour)) },
	"7d":  func(now time.Time) []time.Time { return steps(42, 4*time.Hour, midnight(now)) },
	"30d": func(now time.Time) []time.Time { return steps(30, 24*time.Hour, midnight(now)) },
	"90d": func(now time.Time) []time.Time { return steps(45, 48*time.Hour, midnight(now)) },
	"13m": months,
}

// midnight is the end of now's day.
func midnight(now time.Time) time.Time { return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1) }

func steps(n int, step time.Duration, end time.Time) (moments []time.Time) {
	for i := range n + 1 {
		moments = append(moments, end.Add(-time.Duration(n-i)*step))
	}
	return moments
}

// months are this one and the twelve before, so that it stands beside the same one
// of last year.
func months(now time.Time) (moments []time.Time) {
	year, month, _ := now.UTC().Date()
	for i := range 14 {
		moments = append(moments, time.Date(year, month+time.Month(i-12), 1, 0, 0, 0, 0, time.UTC))
	}
	return moments
}

// rangeIn is the range that the address asks for.
func rangeIn(r *http.Request) string {
	name := r.URL.Query().Get("range")
	if spans[name] == nil {
		return "7d"
	}
	return name
}

func (s *Server) usageOfKey(r *http.Request, m account.Member, key keyring.Key, now time.Time) (views.Usage, error) {
	name := rangeIn(r)
	usage, err := s.events.Usage(r.Context(), m.Workspace.ID, &key.ID, spans[name](now))
	if err != nil {
		return views.Usage{}, err
	}
	links := linksOf(m)
	links.key = key.ID.String()
	return usageView(usage, name, now, links), nil
}

// topKeys is how many keys the usage page names.
const topKeys = 10

// showUsage charts what came in with all keys of the workspace.
func (s *Server) showUsage(w http.ResponseWriter, r *http.Request, m account.Member) error {
	frame, err := s.page(w, r, m, "Usage")
	if err != nil {
		return err
	}
	name := rangeIn(r)
	usage, err := s.events.Usage(r.Context(), m.Workspace.ID, nil, spans[name](frame.Now))
	if err != nil {
		return err
	}
	keys, err := s.keys.List(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	page := views.UsagePage{Page: frame, Usage: usageView(usage, name, frame.Now, linksOf(m))}
	page.Keys, page.OtherKeys, page.Others = keyShares(usage.Keys, keys)
	return render(w, r, http.StatusOK, views.UsageOfWorkspace(page))
}

// keyShares names the busiest keys and adds up the others.
func keyShares(used []inbox.KeyUsage, keys []keyring.Key) (shares []views.KeyShare, others int, sum views.Count) {
	names := map[uuid.UUID]string{}
	for _, key := range keys {
		names[key.ID] = key.Name
	}
	for _, k := range used {
		count := views.Count{Accepted: k.Accepted, Duplicate: k.Duplicate, Refused: k.Refused}
		if len(shares) < topKeys && names[k.KeyID] != "" {
			shares = append(shares, views.KeyShare{ID: k.KeyID.String(), Name: names[k.KeyID], Count: count})
			continue
		}
		others++
		sum = sum.Plus(count)
	}
	return shares, others, sum
}

// deliveryLinks lead from counts to the deliveries that were counted.
type deliveryLinks struct {
	slug, key string
	kept      time.Duration // how long rows are
}

// linksOf are the links to the deliveries of a workspace.
func linksOf(m account.Member) deliveryLinks {
	return deliveryLinks{slug: m.Workspace.Slug, kept: time.Duration(m.Workspace.KeepDeliveriesDays) * 24 * time.Hour}
}

// between is the address of the deliveries from one moment to another, or "" if no
// row can be left of them.
func (l deliveryLinks) between(from, until, now time.Time, more ...string) string {
	if now.Sub(until) > l.kept {
		return ""
	}
	const form = "2006-01-02T15:04"
	query := url.Values{"from": {from.UTC().Format(form)}, "until": {until.UTC().Format(form)}}
	if l.key != "" {
		query.Set("key", l.key)
	}
	for i := 0; i+1 < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return "/w/" + l.slug + "/deliveries?" + query.Encode()
}

func usageView(usage inbox.Usage, name string, now time.Time, links deliveryLinks) views.Usage {
	view := views.Usage{Range: name}
	var took inbox.Took
	reasons := map[inbox.Reason]int64{}
	for _, bar := range usage.Bars {
		count := views.Count{From: bar.From, Accepted: bar.Accepted, Duplicate: bar.Duplicate, Refused: bar.Refused}
		count.Deliveries = links.between(bar.From, bar.Until, now)
		view.Bars = append(view.Bars, count)
		view.Answers = append(view.Answers, answerView(bar.Took))
		view.NotKept += bar.NotKept
		took.Add(bar.Took)
		for reason, n := range bar.Reasons {
			reasons[reason] += n
		}
	}
	view.Answer = answerView(took)
	from, until := usage.Bars[0].From, usage.Bars[len(usage.Bars)-1].Until
	for reason, n := range reasons {
		view.Reasons = append(view.Reasons, views.ReasonCount{
			Reason: string(reason), Explanation: reason.Explain(), Requests: n,
			Deliveries: links.between(from, until, now, "outcome", "refused", "reason", string(reason)),
		})
	}
	slices.SortFunc(view.Reasons, func(a, b views.ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Reason, b.Reason))
	})
	return view
}

// answerView says how fast the half and 99 of 100 were answered.
func answerView(took inbox.Took) views.Answer {
	percentile := func(percent int64) views.Within {
		bucket := took.Within(percent)
		if bucket < 0 {
			return views.Within{}
		}
		end, over := inbox.TookUpTo(bucket)
		return views.Within{Level: bucket + 1, Milliseconds: end.Milliseconds(), Over: over}
	}
	return views.Answer{Half: percentile(50), Most: percentile(99)}
}
