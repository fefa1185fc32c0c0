package web

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

// showKeys lists the workspace's keys. Status, search and order are in the
// address, so that a view can be kept and shared.
func (s *Server) showKeys(w http.ResponseWriter, r *http.Request, m account.Member) error {
	keys, err := s.keys.List(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	hours, err := s.events.Hourly(r.Context(), m.Workspace.ID, now.Add(-24*time.Hour))
	if err != nil {
		return err
	}
	frame, err := s.page(w, r, m, "Keys")
	if err != nil {
		return err
	}
	query := r.URL.Query()
	page := views.KeysPage{
		Page: frame, Status: known(query.Get("status"), tabs), Sort: known(query.Get("sort"), orders),
		Query: strings.ToValidUTF8(strings.TrimSpace(query.Get("q")), ""),
	}
	for _, key := range keys {
		row := keyRow(key, hours[key.ID], now)
		count(&page, row)
		if matches(row, page) {
			page.Rows = append(page.Rows, row)
		}
	}
	sortRows(page.Rows, page.Sort)
	return render(w, r, http.StatusOK, views.Keys(page))
}

var (
	tabs   = []string{"active", "expiring", "never-used", "idle", "inactive"}
	orders = []string{"last-used", "name", "newest"}
)

// known returns value if it is one of those, else "".
func known(value string, those []string) string {
	if slices.Contains(those, value) {
		return value
	}
	return ""
}

func keyRow(key keyring.Key, counts []inbox.HourCount, now time.Time) views.KeyRow {
	return views.KeyRow{
		ID: key.ID.String(), Name: key.Name, Hint: key.Hint, Scheme: schemeInfo(key.Scheme).Title, Status: views.KeyStatus(key.StatusAt(now)),
		Labels: key.Labels, Owner: key.OwnerName, CreatedBy: key.CreatedByName, LastUsedAt: key.LastUsedAt,
		LastRefusedAt: key.LastRefusedAt, ExpiresAt: key.ExpiresAt, RotatingUntil: key.RotatingUntil, CreatedAt: key.CreatedAt,
		Hours: hourly(counts, now, 24),
	}
}

// hourly spreads counts over the last n hours, the oldest first.
func hourly(counts []inbox.HourCount, now time.Time, n int) []views.Count {
	first := now.Truncate(time.Hour).Add(-time.Duration(n-1) * time.Hour)
	bars := make([]views.Count, n)
	for i := range bars {
		bars[i].From = first.Add(time.Duration(i) * time.Hour)
	}
	for _, c := range counts {
		if i := int(c.Hour.Sub(first) / time.Hour); i >= 0 && i < n && !c.Hour.Before(first) {
			bars[i].Accepted += c.Accepted
			bars[i].Duplicate += c.Duplicate
			bars[i].Refused += c.Refused
		}
	}
	return bars
}

// count adds a row to the numbers on the tabs and to the facts above the list,
// which are about all keys, whatever the list shows.
func count(page *views.KeysPage, row views.KeyRow) {
	page.Counts.All++
	switch row.Status {
	case views.KeyInactive, views.KeyExpired, views.KeyLeakedOut:
		page.Counts.Inactive++
	default:
		page.Counts.Active++
		if row.ExpiresAt != nil && (page.Stats.NextExpiresAt == nil || row.ExpiresAt.Before(*page.Stats.NextExpiresAt)) {
			page.Stats.NextToExpire, page.Stats.NextExpiresAt = row.Name, row.ExpiresAt
		}
	}
	switch row.Status {
	case views.KeyExpiring:
		page.Counts.Expiring++
	case views.KeyNeverUsed:
		page.Counts.NeverUsed++
	case views.KeyIdle:
		page.Counts.Idle++
	}
	for _, hour := range row.Hours {
		page.Stats.Requests += hour.Accepted + hour.Duplicate + hour.Refused
		page.Stats.Refused += hour.Refused
	}
}

// matches reports whether a row belongs under the tab and to the search.
func matches(row views.KeyRow, page views.KeysPage) bool {
	stopped := row.Status == views.KeyInactive || row.Status == views.KeyExpired || row.Status == views.KeyLeakedOut
	switch page.Status {
	case "":
	case "active":
		if stopped {
			return false
		}
	case "inactive":
		if !stopped {
			return false
		}
	default:
		if string(row.Status) != page.Status {
			return false
		}
	}
	query := strings.ToLower(page.Query)
	for _, text := range append([]string{row.Name, row.Hint, row.ID, row.Owner}, row.Labels...) {
		if strings.Contains(strings.ToLower(text), query) {
			return true
		}
	}
	return false
}

func sortRows(rows []views.KeyRow, order string) {
	total := func(row views.KeyRow) (n int64) {
		for _, hour := range row.Hours {
			n += hour.Accepted + hour.Duplicate + hour.Refused
		}
		return n
	}
	moment := func(at *time.Time) int64 {
		if at == nil {
			return 0
		}
		return at.UnixNano()
	}
	slices.SortStableFunc(rows, func(a, b views.KeyRow) int {
		switch order {
		case "last-used":
			return cmp.Compare(moment(b.LastUsedAt), moment(a.LastUsedAt))
		case "newest":
			return b.CreatedAt.Compare(a.CreatedAt)
		case "name":
			return 0 // as the store lists them
		}
		return cmp.Compare(total(b), total(a))
	})
}

// keyOf returns the key in the path. What is no id at all is answered as a key
// that is not there.
func (s *Server) keyOf(r *http.Request, m account.Member) (keyring.Key, error) {
	id, err := keyID(r)
	if err != nil {
		return keyring.Key{}, err
	}
	return s.keys.Find(r.Context(), m.Workspace.ID, id)
}

func keyID(r *http.Request) (uuid.UUID, error) {
	text := r.PathValue("key")
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return uuid.Nil, fault.New(fault.NotFound, "There is no such key.")
	}
	return id, nil
}
