package web

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

const keysOnPage = 100

// showKeys lists the workspace's keys. Status, search, order and place are in the
// address, so that a view can be kept and shared.
func (s *Server) showKeys(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderKeys(w, r, m, http.StatusOK, r.URL.Query(), "")
}

// renderKeys shows the list that query asks for, with what was wrong with what was
// done from it.
func (s *Server) renderKeys(w http.ResponseWriter, r *http.Request, m account.Member, status int, query url.Values, problem string) error {
	frame, err := s.page(w, r, m, "Keys")
	if err != nil {
		return err
	}
	list, err := s.listOf(r, m, query, frame.Now)
	if err != nil {
		return err
	}
	loads, err := s.events.LoadsOf(r.Context(), m.Workspace.ID, frame.Now.Add(-24*time.Hour))
	if err != nil {
		return err
	}
	page := views.KeysPage{
		Page: frame, Status: string(list.filter.Claim), Sort: string(list.window.Order), Query: list.filter.Search, Problem: problem, CanEdit: m.Can(account.EditKeys),
	}
	if page.Counts, page.Stats, err = s.countKeys(r, m, list, loads); err != nil {
		return err
	}
	if err := s.fillKeys(r, m, list, loads, &page); err != nil {
		return err
	}
	if list.filter.Owner != nil {
		page.Owner, page.OwnerName = list.filter.Owner.String(), s.nameOf(r, m, *list.filter.Owner)
	}
	return render(w, r, status, views.Keys(page))
}

// A keyList is what an address of the list asks for.
type keyList struct {
	filter keyring.Filter
	window keyring.Window
	at     time.Time
}

var orders = []keyring.Order{keyring.ByLastUsed, keyring.ByName, keyring.ByNewest}

// listOf reads a list's address, or the form that stands for one. What it does not
// know it passes over.
func (s *Server) listOf(r *http.Request, m account.Member, query url.Values, now time.Time) (list keyList, err error) {
	list.at, list.window.Limit = now, keysOnPage
	list.filter = keyring.Filter{At: now, Search: strings.ToValidUTF8(strings.TrimSpace(query.Get("q")), ""), Owner: idIn(query, "owner")}
	if claim := keyring.Claim(query.Get("status")); slices.Contains(keyring.Claims(), claim) {
		list.filter.Claim = claim
	}
	if order := keyring.Order(query.Get("sort")); slices.Contains(orders, order) {
		list.window.Order = order
	}
	list.window.After, list.window.Until = placeIn(query, "after"), placeIn(query, "until")
	list.filter.Ghosts, err = s.haunted(r.Context(), m.Workspace.ID, now)
	return list, err
}

// haunted returns the keys with whose stopped credentials somebody still sends.
func (s *Server) haunted(ctx context.Context, workspace uuid.UUID, now time.Time) ([]uuid.UUID, error) {
	found, err := s.events.Ghosts(ctx, workspace, uuid.Nil, now)
	if err != nil {
		return nil, err
	}
	works, err := s.keys.Working(ctx, idsOf(found, func(g inbox.Ghost) uuid.UUID { return g.KeyID }))
	return inbox.Haunted(found, works), err
}

// placeIn reads a place such as 12.018f….
func placeIn(query url.Values, name string) *keyring.Place {
	rank, key, _ := strings.Cut(query.Get(name), ".")
	n, err := strconv.ParseInt(rank, 10, 64)
	id, wrong := uuid.Parse(key)
	if err != nil || wrong != nil || n == math.MinInt64 {
		return nil
	}
	return &keyring.Place{Rank: n, Key: id}
}

// countKeys returns the numbers on the tabs and the facts above the list, which are
// about all keys, whatever the list shows.
func (s *Server) countKeys(r *http.Request, m account.Member, list keyList, loads []inbox.Load) (views.KeyCounts, views.KeyStats, error) {
	n, err := s.keys.CountAll(r.Context(), m.Workspace.ID, list.at, list.filter.Ghosts)
	stats := views.KeyStats{NextExpiresAt: n.NextExpiresAt}
	for _, load := range loads {
		stats.Requests += load.Requests
		stats.Refused += load.Refused
	}
	return views.KeyCounts{
		All: n.All, Active: n.Active, Expiring: n.Expiring, NeverUsed: n.NeverUsed, Idle: n.Idle, Idle90: n.Idle90,
		NeverExpires: n.NeverExpires, OwnerGone: n.OwnerGone, GhostUse: n.GhostUse, Inactive: n.Inactive,
	}, stats, err
}

// fillKeys adds the rows, and the ways to those before and behind them. A page
// whose keys all left the list is the first one.
func (s *Server) fillKeys(r *http.Request, m account.Member, list keyList, loads []inbox.Load, page *views.KeysPage) error {
	for _, load := range loads {
		list.window.Loads = append(list.window.Loads, keyring.Load{Key: load.KeyID, Requests: load.Requests})
	}
	listing, err := s.keys.Page(r.Context(), m.Workspace.ID, list.filter, list.window)
	if err == nil && len(listing.Keys) == 0 && (list.window.After != nil || list.window.Until != nil) {
		list.window.After, list.window.Until = nil, nil
		listing, err = s.keys.Page(r.Context(), m.Workspace.ID, list.filter, list.window)
	}
	if err != nil {
		return err
	}
	var ids []uuid.UUID
	for _, key := range listing.Keys {
		ids = append(ids, key.ID)
	}
	hours, err := s.events.Hourly(r.Context(), m.Workspace.ID, ids, list.at.Add(-24*time.Hour))
	if err != nil {
		return err
	}
	for _, key := range listing.Keys {
		row := keyRow(key, hours[key.ID], list.at)
		row.Ghost = slices.Contains(list.filter.Ghosts, key.ID)
		page.Rows = append(page.Rows, row)
	}
	page.Total, page.Prev, page.Next = listing.Total, placeText(listing.Prev), placeText(listing.Next)
	return nil
}

func placeText(place *keyring.Place) string {
	if place == nil {
		return ""
	}
	return strconv.FormatInt(place.Rank, 10) + "." + place.Key.String()
}

// nameOf is a member's name; somebody else has none here.
func (s *Server) nameOf(r *http.Request, m account.Member, user uuid.UUID) string {
	members, err := s.accounts.Members(r.Context(), m.Workspace.ID)
	if err != nil {
		return ""
	}
	for _, member := range members {
		if member.User.ID == user {
			return member.User.Name
		}
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
