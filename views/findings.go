package views

import (
	"context"
	"strconv"
	"strings"
	"time"
)

func (p OverviewPage) refusals() Finding {
	r := p.Refusals
	if !r.Unusual {
		return Finding{}
	}
	f := Finding{
		Grave: true, Icon: "circle-x",
		Fact: share(r.Refused, r.Requests) + " of requests were refused in the last 24 hours" + r.usually(", usually "),
		Why:  number(r.Refused) + " of " + number(r.Requests) + ". " + r.meaning(),
	}
	for _, k := range r.Top {
		f.About = append(f.About, About{p.keys(k.ID), k.Name, number(k.Refused) + " · " + k.Reason})
	}
	if len(r.Top) > 0 {
		f.Href, f.Link = p.keys(r.Top[0].ID), "Open "+r.Top[0].Name
	}
	return f
}

// usually is the usual share behind some words, or nothing.
func (r RefusalFacts) usually(words string) string {
	if r.Days == 0 {
		return ""
	}
	return words + percent(r.Usual)
}

func (r RefusalFacts) meaning() string {
	if r.Days == 0 {
		return "There are too few days before to say what is usual."
	}
	return "Usual is the median of the same hours of " + plural(int64(r.Days), "day", "days") + " before."
}

// percent writes a share between 0 and 1.
func percent(part float64) string {
	switch {
	case part == 0:
		return "0 %"
	case part < 0.0001:
		return "under 0.01 %"
	}
	return strconv.FormatFloat(100*part, 'f', 2, 64) + " %"
}

// fewAbout is how many a finding names.
const fewAbout = 5

func (p OverviewPage) ghosts() Finding {
	if len(p.Ghosts) == 0 {
		return Finding{}
	}
	f := Finding{Icon: "circle-off", More: max(len(p.Ghosts)-fewAbout, 0), Href: p.status("ghost-use"), Link: "See all"}
	var week, day int64
	for i, g := range p.Ghosts {
		week, day = week+g.Week, day+g.Day
		f.Grave = f.Grave || g.Reason == "credential_leaked"
		if i < fewAbout {
			f.About = append(f.About, About{p.keys(g.KeyID), g.KeyName, g.text(p.Now)})
		}
	}
	f.Fact = "Stopped credentials of " + plural(int64(len(p.Ghosts)), "key", "keys") + " are still in use"
	f.Why = plural(week, "request", "requests") + " refused in the last 7 days, " + number(day) + " in the last 24 hours. Tell who sends, or find out who has them."
	if len(p.Ghosts) == 1 {
		f.Href, f.Link = p.keys(p.Ghosts[0].KeyID), "Open key"
	}
	return f
}

func (g GhostFacts) text(now time.Time) string {
	parts := []string{ghostWord(g.Reason), number(g.Week) + " in 7 days", number(g.Day) + " in 24 h", "last " + since(g.LastAt, now)}
	if g.Address != "" {
		parts[3] += " from " + g.Address
	}
	if g.Agent != "" {
		parts[3] += ", " + shorten(visible(g.Agent), 60)
	}
	return strings.Join(parts, " · ")
}

// shorten cuts a text that a line has no room for.
func shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

// overlaps are grave if the old credentials are in use.
func (p OverviewPage) overlaps(ctx context.Context, grave bool) Finding {
	f := Finding{Icon: "refresh-cw"}
	n := 0
	for _, o := range p.Overlaps {
		if o.InUse != grave {
			continue
		}
		if n++; n > fewAbout {
			f.More++
			continue
		}
		text := "old " + Parts(o.What) + " until " + stamp(ctx, o.Until) + " · "
		if o.LastOldAt == nil {
			text += "not used since the rotation"
		} else {
			text += plural(o.Old, "request", "requests") + " with it, last " + since(*o.LastOldAt, p.Now)
		}
		f.About = append(f.About, About{p.keys(o.KeyID), o.KeyName, text})
	}
	if n == 0 {
		return Finding{}
	}
	f.Fact = plural(int64(n), "overlap ends", "overlaps end") + " within 24 hours"
	if grave {
		f.Fact += " with the old credentials still in use"
		f.Why = "Then requests with the old ones get 401. Give the sender the new ones, or let the overlap last longer."
	} else {
		f.Fact += ", and the old credentials are not in use"
	}
	f.Href, f.Link = f.About[0].Href, "Open "+f.About[0].Name
	return f
}

func (p OverviewPage) forwards() Finding {
	if len(p.Forwards) == 0 {
		return Finding{}
	}
	f := Finding{Icon: "triangle-alert", More: max(len(p.Forwards)-fewAbout, 0)}
	var requests int64
	for i, forward := range p.Forwards {
		requests += forward.Requests
		if i < fewAbout {
			f.About = append(f.About, About{"", forward.Proxy, plural(forward.Requests, "request", "requests") + ", last " + since(forward.LastAt, p.Now)})
		}
	}
	f.Fact = plural(requests, "request", "requests") + " came through a proxy that is not trusted"
	f.Why = "X-Forwarded-For is not believed, so the addresses below stand for all who send through them, in the log and against a key's allowed addresses. " +
		"If they are proxies of yours, whoever runs this Keyhook adds them to KEYHOOK_TRUSTED_PROXIES."
	return f
}

// checked is what the calm line says was looked at.
func (p OverviewPage) checked() string {
	r, text := p.Refusals, ""
	switch {
	case r.Requests == 0:
		text = "no requests in the last 24 hours"
	case r.Days == 0:
		text = share(r.Refused, r.Requests) + " of " + plural(r.Requests, "request", "requests") + " refused in the last 24 hours, and no usual rate yet"
	default:
		text = share(r.Refused, r.Requests) + " of " + plural(r.Requests, "request", "requests") + " refused in the last 24 hours, usually " + percent(r.Usual)
	}
	return "Checked " + plural(int64(p.KeyCount), "key", "keys") + ": " + text +
		"; no use of stopped credentials in 7 days; no key that expires within 7 days; no overlap that ends within 24 hours with the old credentials in use; no proxy that is not trusted."
}
