package web

import (
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

const (
	fewKeys      = 5      // that a finding names
	lookForGhost = 1000   // requests, for the sender of a key's last ghost use
	lookForAll   = 20_000 // likewise, for all who used its stopped credentials
)

// showOverview answers whether anything is wrong. What it reads is bounded by the
// number of keys, not of deliveries.
func (s *Server) showOverview(w http.ResponseWriter, r *http.Request, m account.Member) error {
	frame, err := s.page(w, r, m, "Overview")
	if err != nil {
		return err
	}
	page := views.OverviewPage{Page: frame}
	for _, fill := range []func(*http.Request, account.Member, *views.OverviewPage) error{
		s.addRefusals, s.addGhosts, s.addOverlaps, s.addForwards, s.addConcerns, s.addVerification,
	} {
		if err := fill(r, m, &page); err != nil {
			return err
		}
	}
	return render(w, r, http.StatusOK, views.Overview(page))
}

func (s *Server) addRefusals(r *http.Request, m account.Member, page *views.OverviewPage) error {
	refusals, err := s.events.Refusals(r.Context(), m.Workspace.ID, page.Now)
	if err != nil {
		return err
	}
	page.Refusals = views.RefusalFacts{
		Requests: refusals.Requests, Refused: refusals.Refused, Usual: refusals.Usual, Days: refusals.Days, Unusual: refusals.Unusual(),
	}
	if !page.Refusals.Unusual {
		return nil
	}
	top, err := s.events.TopRefusers(r.Context(), m.Workspace.ID, page.Now, 3)
	if err != nil {
		return err
	}
	keys, err := s.keys.Some(r.Context(), m.Workspace.ID, idsOf(top, func(t inbox.Refuser) uuid.UUID { return t.KeyID }))
	for _, t := range top {
		page.Refusals.Top = append(page.Refusals.Top, views.RefusedKey{
			ID: t.KeyID.String(), Name: keys[t.KeyID].Name, Reason: explain(string(t.Reason), t.Reason.Explain(), keys[t.KeyID].Scheme), Refused: t.Refused,
		})
	}
	return err
}

func idsOf[T any](list []T, id func(T) uuid.UUID) []uuid.UUID {
	ids := make([]uuid.UUID, len(list))
	for i, one := range list {
		ids[i] = id(one)
	}
	return ids
}

// addGhosts adds a row for each key whose stopped credentials are used, unless it
// works again.
func (s *Server) addGhosts(r *http.Request, m account.Member, page *views.OverviewPage) error {
	found, err := s.events.Ghosts(r.Context(), m.Workspace.ID, uuid.Nil, page.Now)
	if err != nil {
		return err
	}
	keys, err := s.keys.Some(r.Context(), m.Workspace.ID, idsOf(found, func(g inbox.Ghost) uuid.UUID { return g.KeyID }))
	if err != nil {
		return err
	}
	places := map[uuid.UUID]int{}
	for _, g := range found {
		key := keys[g.KeyID]
		if g.Over(key.Works(page.Now)) {
			continue
		}
		i, there := places[g.KeyID]
		if !there {
			i, places[g.KeyID] = len(page.Ghosts), len(page.Ghosts)
			page.Ghosts = append(page.Ghosts, views.GhostFacts{KeyID: g.KeyID.String(), KeyName: key.Name, Reason: string(g.Reason), LastAt: g.LastAt})
		}
		page.Ghosts[i].Week += g.Week
		page.Ghosts[i].Day += g.Day
	}
	for i := range page.Ghosts[:min(len(page.Ghosts), fewKeys)] {
		g := &page.Ghosts[i]
		senders, err := s.events.GhostSenders(r.Context(), m.Workspace.ID, uuid.MustParse(g.KeyID), g.LastAt, page.Now, lookForGhost)
		if err != nil {
			return err
		}
		if len(senders) > 0 {
			g.Address, g.Agent = senders[0].Address, senders[0].UserAgent
		}
	}
	return nil
}

func (s *Server) addOverlaps(r *http.Request, m account.Member, page *views.OverviewPage) error {
	ending, err := s.keys.EndingOverlaps(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	var rotations []inbox.RotatedKey
	for _, o := range ending {
		rotations = append(rotations, inbox.RotatedKey{WorkspaceID: o.WorkspaceID, KeyID: o.KeyID, Rotation: inbox.Rotation{At: o.Since, Old: o.CountedAs, Before: o.Before}})
	}
	uses, err := s.events.OldUses(r.Context(), rotations)
	if err != nil {
		return err
	}
	for i, o := range ending {
		page.Overlaps = append(page.Overlaps, views.EndingOverlap{
			KeyID: o.KeyID.String(), KeyName: o.Name, What: string(o.What), Until: o.Until, Old: uses[i].Requests, LastOldAt: uses[i].LastAt,
			InUse: uses[i].InUse(page.Now),
		})
	}
	return nil
}

func (s *Server) addForwards(r *http.Request, m account.Member, page *views.OverviewPage) error {
	forwards, err := s.events.UntrustedForwards(r.Context(), m.Workspace.ID, page.Now)
	for _, f := range forwards {
		page.Forwards = append(page.Forwards, views.ForwardFacts(f))
	}
	return err
}

func (s *Server) addConcerns(r *http.Request, m account.Member, page *views.OverviewPage) error {
	c, err := s.keys.Concerns(r.Context(), m.Workspace.ID, fewKeys)
	if err != nil {
		return err
	}
	page.Expiring, page.WithinWeek, page.NeverUsed = keySet(c.Expiring), c.WithinWeek, keySet(c.NeverUsed)
	page.Idle, page.LongIdle = keySet(c.Idle), keySet(c.LongIdle)
	page.NeverExpires, page.OwnerGone = keySet(c.NeverExpires), keySet(c.OwnerGone)
	return nil
}

// addVerification adds what proves the trail, for those who may see the trail.
func (s *Server) addVerification(r *http.Request, m account.Member, page *views.OverviewPage) error {
	if !m.Can(account.ViewTrail) {
		return nil
	}
	standing, err := s.trail.Standing(r.Context(), m.Workspace.ID)
	part := s.verification(page.Page, standing)
	page.Verification = &part
	return err
}

func keySet(c keyring.Concern) views.KeySet {
	set := views.KeySet{Count: c.Count}
	for _, k := range c.First {
		set.First = append(set.First, views.KeyMention{ID: k.ID.String(), Name: k.Name, ExpiresAt: k.ExpiresAt, LastUsedAt: k.LastUsedAt, CreatedAt: k.CreatedAt})
	}
	return set
}

// ghostUse is what came with a key's stopped credentials.
func (s *Server) ghostUse(r *http.Request, m account.Member, key keyring.Key, now time.Time) (use views.GhostUse, err error) {
	found, err := s.events.Ghosts(r.Context(), m.Workspace.ID, key.ID, now)
	if err != nil {
		return use, err
	}
	found = slices.DeleteFunc(found, func(g inbox.Ghost) bool { return g.Over(key.Works(now)) })
	if len(found) == 0 {
		return use, nil
	}
	for _, g := range found {
		use.Rows = append(use.Rows, views.GhostRow{Generation: g.Generation, Reason: string(g.Reason), Week: g.Week, Day: g.Day, LastAt: g.LastAt})
	}
	senders, err := s.events.GhostSenders(r.Context(), m.Workspace.ID, key.ID, found[0].LastAt, now, lookForAll)
	for _, sender := range senders {
		use.Senders = append(use.Senders, views.Sender{Address: sender.Address, UserAgent: sender.UserAgent, Requests: sender.Requests, LastAt: sender.LastAt})
	}
	return use, err
}
