package web

import (
	"cmp"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/evidence"
	"keyhook/internal/inbox"
	"keyhook/views"
)

// passportEntries bounds a page that is printed: some forty sheets. The JSON has all.
const passportEntries = 500

// showPassport tells all about a key on one page that can be printed.
func (s *Server) showPassport(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	frame, err := s.page(w, r, m, "Passport of "+key.Name)
	if err != nil {
		return err
	}
	p, err := s.evidence.Passport(r.Context(), key, passportEntries)
	if err != nil {
		return err
	}
	page := views.PassportPage{
		Page: frame, KeyID: p.KeyID, KeyName: p.Name, WorkspaceID: p.WorkspaceID, Scheme: schemeInfo(p.Scheme).Title, Source: p.Source, Hint: p.Hint, Print: p.Print,
		Active: p.Active, Owner: p.Owner, OwnerID: p.OwnerID, ExpiresAt: key.ExpiresAt, LastUsedAt: exactly(key.LastUsedAt), Refused: exactly(key.LastRefusedAt),
		Made: views.PassportMade{
			At: momentOf(p.Created.At), By: p.Created.By.Name, Address: p.Created.Address, Imported: p.Created.Imported,
			StatedMadeAt: p.Created.StatedMadeAt, StatedMadeBy: p.Created.StatedMadeBy, StatedLastUsed: p.Created.StatedLastUsed,
		},
		SchemesOf: p.SchemesOf, AllChanges: p.Changes, Seq: p.Trail.Seq, Hash: base64.StdEncoding.EncodeToString(p.Trail.Hash), Point: pointOf(p.Trail),
	}
	if p.FirstUsedOn != nil {
		page.FirstUsedOn = *p.FirstUsedOn + " UTC"
	}
	if p.SchemesSince != nil {
		page.SchemesSince = momentOf(*p.SchemesSince)
	}
	fillPassport(&page, p)
	trail, err := s.trailEntriesOf(r, p.Latest)
	if err != nil {
		return err
	}
	for i, entry := range slices.Backward(trail) {
		page.Changes = append(page.Changes, passportChange(entry, p.Latest[i]))
	}
	return render(w, r, http.StatusOK, views.Passport(page))
}

// passportChange is an entry on a passport, which also tells what a thing was made
// with.
func passportChange(shown views.TrailEntry, entry audit.Entry) views.PassportChange {
	change := views.PassportChange{TrailEntry: shown, Seq: entry.Seq, Hash: base64.StdEncoding.EncodeToString(entry.Hash)}
	if entry.Before == "" && entry.After != "" {
		entry.Before, change.First = "{}", true
		change.Changes = slices.DeleteFunc(changes(entry), func(c views.Change) bool { return c.After == "" })
	}
	return change
}

// fillPassport adds the lists of a passport.
func fillPassport(page *views.PassportPage, p evidence.Passport) {
	for _, shown := range p.Shown {
		page.Shown = append(page.Shown, views.PassportShown{
			At: momentOf(shown.At), To: shown.To.Name, Address: shown.Address, APIKey: shown.APIKey, Secret: shown.Fingerprint, SavedAt: momentIn(shown.SavedAt),
		})
	}
	for _, a := range p.Addresses {
		page.Addresses = append(page.Addresses, views.FromAddress{Address: a.Address, Accepted: a.Accepted, Refused: a.Refused, FirstAt: momentOf(a.FirstAt), LastAt: momentOf(a.LastAt)})
	}
	for _, proof := range p.Schemes {
		page.Schemes = append(page.Schemes, views.PassportScheme{
			Scheme: cmp.Or(schemeInfo(proof.Scheme).Title, "No scheme"), Method: proofNames[proof.Method], Requests: proof.Requests, FirstAt: momentOf(proof.FirstAt), LastAt: momentOf(proof.LastAt),
		})
	}
	for _, month := range p.Months {
		row := views.PassportMonth{Month: month.Month, Accepted: month.Accepted, Duplicate: month.Duplicate, Refused: month.Refused}
		for reason, n := range month.Reasons {
			row.Reasons = append(row.Reasons, views.ReasonCount{Reason: reason, Requests: n})
		}
		slices.SortFunc(row.Reasons, func(a, b views.ReasonCount) int {
			return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Reason, b.Reason))
		})
		page.Months = append(page.Months, row)
	}
	for _, r := range p.Rotations {
		page.Rotations = append(page.Rotations, views.PassportRotation{
			At: momentOf(r.At), By: r.By.Name, What: r.What, Renewed: r.Renewed, Old: both(r.OldAPIKey, r.OldFingerprint), New: both(r.NewAPIKey, r.NewFingerprint),
			Planned: momentIn(&r.Planned), Ends: momentIn(&r.EndsAt), Moved: r.Moved, Ended: r.Ended,
		})
	}
}

var proofNames = map[string]string{
	string(inbox.ByNothing): "without a proof", string(inbox.ByAPIKey): "by API key", string(inbox.ByBearer): "by API key as a bearer", string(inbox.ByURL): "by API key in the URL",
	string(inbox.BySignature): "by signature", string(inbox.ByToken): "by its secret, sent as it is", string(inbox.ByBasic): "by HTTP Basic",
}

func both(a, b string) string {
	if a != "" && b != "" {
		return a + ", " + b
	}
	return a + b
}

// pointOf is the newest checkpoint as the page shows it.
func pointOf(standing evidence.Standing) *views.PassportPoint {
	point := standing.Checkpoint
	if point == nil {
		return nil
	}
	shown := &views.PassportPoint{Number: point.Number, At: point.At, KeyID: point.KeyID}
	for _, head := range point.Heads {
		shown.Seq, shown.Hash = head.Seq, base64.StdEncoding.EncodeToString(head.Hash)
	}
	return shown
}

// momentOf reads a moment of a passport or of a review.
func momentOf(text string) time.Time {
	at, _ := time.Parse(time.RFC3339, text)
	return at
}

func momentIn(text *string) *time.Time {
	if text == nil || *text == "" {
		return nil
	}
	at := momentOf(*text)
	return &at
}

func exactly(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04:05 UTC")
}

// exportPassport sends a key's passport as JSON, with all of its entries.
func (s *Server) exportPassport(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	return s.sendFile(w, r, m, "json", fileName("passport-"+key.ID.String(), "json"), func(ctx context.Context, by audit.Actor, out io.Writer) error {
		return s.evidence.ExportPassport(ctx, by, key, out)
	})
}
