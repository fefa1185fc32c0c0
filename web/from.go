package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

// fromRanges are how far back the page looks, by their names in the address.
var fromRanges = map[string]time.Duration{
	"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour, "90d": 90 * 24 * time.Hour,
}

// showFrom tells where requests with a key came from: the first question of an
// incident.
func (s *Server) showFrom(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	frame, err := s.page(w, r, m, "Where from: "+key.Name)
	if err != nil {
		return err
	}
	page := views.FromPage{Page: frame, KeyID: key.ID.String(), KeyName: key.Name, Range: r.URL.Query().Get("range"), Most: inbox.MaxLooked}
	if fromRanges[page.Range] == 0 {
		page.Range = "24h"
	}
	page.Since = frame.Now.Add(-fromRanges[page.Range])
	from, err := s.events.FromOf(r.Context(), m.Workspace.ID, key.ID, page.Since)
	if err != nil {
		return err
	}
	page.Looked, page.Oldest = from.Looked, from.Oldest
	for _, a := range from.Addresses {
		page.Addresses = append(page.Addresses, views.FromAddress{Address: a.Address, Accepted: a.Accepted, Refused: a.Refused, FirstAt: a.FirstAt, LastAt: a.LastAt})
	}
	for _, c := range from.Callers {
		page.Callers = append(page.Callers, fromCaller(m, key, c))
	}
	return render(w, r, http.StatusOK, views.From(page))
}

func fromCaller(m account.Member, key keyring.Key, c inbox.Caller) views.FromCaller {
	row := views.FromCaller{
		Address: c.Address, UserAgent: c.UserAgent, Generation: c.Generation, Accepted: c.Accepted, Duplicate: c.Duplicate, Refused: c.Refused,
		FirstAt: c.FirstAt, LastAt: c.LastAt,
	}
	if c.Accepted > 0 && m.Can(account.MarkSuspect) {
		query := url.Values{"address": {c.Address}, "from": {c.FirstAt.UTC().Format(formTime)}, "until": {c.LastAt.UTC().Add(time.Second).Format(formTime)}}
		if c.Generation > 0 {
			query.Set("generation", strconv.Itoa(c.Generation))
		}
		row.MarkURL = keysPath(m, key.ID.String(), "suspect") + "?" + query.Encode()
	}
	return row
}
