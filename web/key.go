package web

import (
	"net/http"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

const (
	recentDeliveries = 20
	trailEntries     = 50
)

func (s *Server) showKey(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	return s.renderKey(w, r, m, http.StatusOK, key, nil)
}

// renderKey shows a key's page, with what is wrong with its form.
func (s *Server) renderKey(w http.ResponseWriter, r *http.Request, m account.Member, status int, key keyring.Key, errors map[string]string) error {
	frame, err := s.page(w, r, m, key.Name)
	if err != nil {
		return err
	}
	page := views.KeyPage{
		Page: frame, Key: keyFacts(key, frame.Now), HookURL: s.hookURL(key), SignalsURL: s.config.HooksURL + "/api/webhooks/signals",
		Errors: errors, WorkspaceID: m.Workspace.ID.String(), CanEdit: mayEdit(m, key), InUse: inUse(key, frame.Now),
	}
	if page.Usage, err = s.usageOfKey(r, m, key, frame.Now); err != nil {
		return err
	}
	if page.Deliveries, err = s.deliveries(r, m, key); err != nil {
		return err
	}
	if page.Ghosts, err = s.ghostUse(r, m, key, frame.Now); err != nil {
		return err
	}
	if page.Overlaps, err = s.overlapParts(r, m, key); err != nil {
		return err
	}
	for i := range page.Overlaps {
		o := &page.Overlaps[i]
		if o.Error = errors["end-"+o.What]; o.Error != "" {
			o.Choice, o.ChosenDay = r.PostFormValue("overlap"), r.PostFormValue("until")
		}
	}
	if page.Handovers, err = s.handovers(r, m, key); err != nil {
		return err
	}
	if page.Trail, err = s.trailOf(r, m, key.ID); err != nil {
		return err
	}
	return render(w, r, status, views.Key(page))
}

// mayEdit tells whether to offer what the store would refuse otherwise.
func mayEdit(m account.Member, key keyring.Key) bool {
	own := key.CreatedBy != nil && *key.CreatedBy == m.User.ID || key.OwnerID != nil && *key.OwnerID == m.User.ID
	return m.Can(account.EditKeys) && (own || m.Role == account.Owner || m.Role == account.Admin)
}

// inUse tells whether somebody would notice at once if the key stopped.
func inUse(key keyring.Key, now time.Time) bool {
	return key.LastUsedAt != nil && now.Sub(*key.LastUsedAt) < 24*time.Hour
}

func keyFacts(key keyring.Key, now time.Time) views.KeyFacts {
	facts := views.KeyFacts{
		ID: key.ID.String(), Name: key.Name, Hint: key.Hint, Fingerprint: key.Fingerprint, Scheme: schemeInfo(key.Scheme),
		LacksSecret: key.LacksSecret(), Bare: key.Bare(), Leaked: key.Leaked(), LeakedAt: key.LeakedAt, Status: views.KeyStatus(key.StatusAt(now)), Active: key.Active, Source: key.Source, Owner: key.OwnerName,
		CreatedBy: key.CreatedByName, CreatedAt: key.CreatedAt, LastUsedAt: key.LastUsedAt, LastRefusedAt: key.LastRefusedAt,
		ExpiresAt: key.ExpiresAt, RotatingUntil: key.RotatingUntil, RequireSignature: key.RequireSignature, AllowInURL: key.AllowInURL,
		AllowedCIDRs: key.AllowedCIDRs, OtherSources: key.OtherSources, RatePer: perOf(key.RateSeconds), RefPointer: key.RefPointer,
		IdenticalBodies: bodiesOf(key), Log: key.Log, Note: key.Note, Labels: key.Labels,
	}
	if key.RateLimit != nil {
		facts.RateLimit = *key.RateLimit
	}
	if key.DailyQuota != nil {
		facts.DailyQuota = *key.DailyQuota
	}
	return facts
}

func (s *Server) showDeliveries(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	part, err := s.deliveries(r, m, key)
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.KeyDeliveries(part))
}

func (s *Server) deliveries(r *http.Request, m account.Member, key keyring.Key) (views.KeyDeliveriesPart, error) {
	part := views.KeyDeliveriesPart{Nonce: nonce(r), Slug: m.Workspace.Slug, KeyID: key.ID.String(), Now: time.Now().UTC()}
	recent, err := s.events.RecentOf(r.Context(), m.Workspace.ID, key.ID, recentDeliveries)
	for _, d := range recent {
		part.Rows = append(part.Rows, deliveryRow(d))
	}
	return part, err
}

func deliveryRow(d inbox.Delivery) views.DeliveryRow {
	row := views.DeliveryRow{
		ID: d.ID.String(), At: d.ReceivedAt.UTC(), Outcome: string(d.Outcome), EventType: d.EventType, Address: d.Address,
		Took: d.Took(), Size: d.BodySize,
	}
	if d.SourceRef != nil {
		row.SourceRef = *d.SourceRef
	}
	switch {
	case d.Outcome == inbox.Refused:
		row.Reason = explain(string(d.Reason), d.Reason.Explain(), d.Scheme)
	case d.SignalID == nil && d.Outcome == inbox.Accepted:
		row.Reason = "A handshake, answered. It is no event."
	case d.Conflict == "body":
		row.Reason = "The same reference with another body."
	case d.Conflict == "key":
		row.Reason = "The same reference through another key."
	case d.SameBodyAs != nil:
		row.Reason = "Same body as " + d.SameBodyAs.String() + "."
	}
	return row
}
