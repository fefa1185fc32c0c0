package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/views"
)

// trailOf is the part of the audit trail that is about one thing.
func (s *Server) trailOf(r *http.Request, m account.Member, id uuid.UUID) ([]views.TrailEntry, error) {
	entries, err := s.trail.Of(r.Context(), audit.ChainOf(m.Workspace.ID), id.String(), trailEntries)
	if err != nil {
		return nil, err
	}
	return s.trailEntriesOf(r, entries)
}

// trailEntriesOf shows entries as pages do.
func (s *Server) trailEntriesOf(r *http.Request, entries []audit.Entry) ([]views.TrailEntry, error) {
	there, err := s.actorsThere(r, entries)
	if err != nil {
		return nil, err
	}
	var trail []views.TrailEntry
	for _, entry := range entries {
		trail = append(trail, trailEntry(entry, there))
	}
	return trail, nil
}

// actorsThere tells which of the users who made entries still exist, by their ids.
func (s *Server) actorsThere(r *http.Request, entries []audit.Entry) (map[string]bool, error) {
	var actors []string
	for _, entry := range entries {
		if entry.ActorKind == audit.User {
			actors = append(actors, entry.ActorID)
		}
	}
	return s.accounts.StillThere(r.Context(), actors)
}

func trailEntry(entry audit.Entry, there map[string]bool) views.TrailEntry {
	return views.TrailEntry{
		At: entry.Moment(), Action: string(entry.Action), Actor: entry.ActorLabel, Address: entry.Address,
		ActorGone: entry.ActorKind == audit.User && !there[entry.ActorID], Changes: changes(entry),
	}
}

// facts lists what an entry says, also where it has one side alone: what something
// was made with, or how it was done.
func facts(entry audit.Entry) []views.Change {
	if list := changes(entry); len(list) > 0 {
		return list
	}
	text, gone := entry.After, false
	if text == "" {
		text, gone = entry.Before, true
	}
	var fields map[string]any
	if text == "" || json.Unmarshal([]byte(text), &fields) != nil {
		return nil
	}
	var list []views.Change
	for field, value := range fields {
		change := views.Change{Field: field, After: readable(value), Sole: true}
		if gone {
			change.Before, change.After = change.After, ""
		}
		if change.Before+change.After != "" {
			list = append(list, change)
		}
	}
	slices.SortFunc(list, func(a, b views.Change) int { return strings.Compare(a.Field, b.Field) })
	return list
}

// targetPath is the page of what an entry is about; "": it has none, or no more.
func targetPath(m account.Member, page views.Page, e audit.Entry) string {
	id, err := uuid.Parse(e.TargetID)
	if err != nil {
		return ""
	}
	sec, nsec := id.Time().UnixTime()
	age, keep := page.Now.Sub(time.Unix(sec, nsec)), m.Workspace.Retention()
	days := func(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
	switch {
	case e.TargetKind == "key":
		return keysPath(m, e.TargetID)
	case e.TargetKind == "token" && page.CanManageTokens:
		return "/w/" + m.Workspace.Slug + "/tokens/" + e.TargetID
	case e.TargetKind == "signal" && age < days(keep.Keep), e.TargetKind == "delivery" && age < days(keep.Deliveries):
		return map[string]string{"signal": "/w/" + m.Workspace.Slug + "/signals/", "delivery": "/w/" + m.Workspace.Slug + "/deliveries/"}[e.TargetKind] + e.TargetID
	}
	return ""
}

// changes lists what an edit changed. What a new key was made with is on its page
// already.
func changes(entry audit.Entry) []views.Change {
	var before, after map[string]any
	if entry.Before == "" || json.Unmarshal([]byte(entry.Before), &before) != nil || json.Unmarshal([]byte(entry.After), &after) != nil {
		return nil
	}
	var list []views.Change
	for field := range after {
		if field != "owner_id" && field != "active" && field != "review" {
			list = append(list, views.Change{Field: field, Before: readable(before[field]), After: readable(after[field])})
		}
	}
	slices.SortFunc(list, func(a, b views.Change) int { return strings.Compare(a.Field, b.Field) })
	return list
}

// differences lists fields as the trail would.
func differences(before, after audit.Fields) []views.Change {
	was, errWas := json.Marshal(before)
	is, errIs := json.Marshal(after)
	if errWas != nil || errIs != nil {
		return nil
	}
	return changes(audit.Entry{Before: string(was), After: string(is)})
}

// readable writes a stored value as people would.
func readable(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case bool:
		return map[bool]string{true: "yes", false: "no"}[value]
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case []any:
		var parts []string
		for _, part := range value {
			parts = append(parts, readable(part))
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		seconds, _ := value["seconds"].(float64)
		return fmt.Sprintf("%s per %s", readable(value["requests"]), perOf(int(seconds)))
	}
	return fmt.Sprint(value)
}
