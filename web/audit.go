package web

import (
	"context"
	"encoding/hex"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/views"
)

const (
	entriesOnPage  = 50
	entriesToPrint = 500
	entriesAbove   = 5           // an entry that is gone to
	pauseToSign    = time.Minute // between checkpoints that people ask for
)

func auditPath(m account.Member) string { return "/w/" + m.Workspace.Slug + "/audit" }

func (s *Server) showTrail(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderTrail(w, r, m, http.StatusOK, views.AuditPage{})
}

// renderTrail shows the page of the trail that the address asks for. page holds what
// was typed into its form, and what is wrong with that.
func (s *Server) renderTrail(w http.ResponseWriter, r *http.Request, m account.Member, status int, page views.AuditPage) (err error) {
	query := r.URL.Query()
	f := auditFilterIn(query, time.Now().UTC())
	title := "Audit trail"
	if len(page.Errors) > 0 {
		title = "Error: Audit trail"
	}
	if page.Page, err = s.page(w, r, m, title); err != nil {
		return err
	}
	standing, err := s.trail.Standing(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	page.Verification = s.verification(page.Page, standing)
	page.KeyID, page.PublicKey, page.CanSign = s.config.Evidence.KeyID, s.config.Evidence.PublicKey, s.config.Evidence.Sign != nil
	if page.Filter, err = s.auditChoices(r, m, f); err != nil {
		return err
	}
	page.Export, page.Clear, page.Each = f.Query(nil), auditPath(m), entriesOnPage
	if query.Get("rows") == strconv.Itoa(entriesToPrint) {
		page.Each = entriesToPrint
	}
	if len(f.Wrong) == 0 {
		if err := s.addEntries(r, m, f, &page); err != nil {
			return err
		}
	}
	return render(w, r, status, views.Audit(page))
}

// addEntries adds the entries of the page that the address asks for.
func (s *Server) addEntries(r *http.Request, m account.Member, f auditFilter, page *views.AuditPage) error {
	query := r.URL.Query()
	at := audit.Cursor{Before: seqIn(query, "before"), After: seqIn(query, "after")}
	goTo := seqIn(query, "entry")
	if goTo > 0 && goTo < math.MaxInt64-entriesAbove {
		at = audit.Cursor{Before: goTo + entriesAbove + 1}
	}
	found, err := s.trail.Page(r.Context(), audit.ChainOf(m.Workspace.ID), f.Filter, at, page.Each)
	if err != nil {
		return err
	}
	if page.Rows, err = s.auditRows(r, m, found.Entries, page.Page); err != nil {
		return err
	}
	page.GoneTo = goTo
	list := func(field string, place int64) string {
		rows := ""
		if page.Each != entriesOnPage {
			rows = strconv.Itoa(page.Each)
		}
		return auditPath(m) + "?" + f.Query(map[string]string{field: strconv.FormatInt(place, 10), "rows": rows})
	}
	if n := len(found.Entries); n > 0 {
		if found.Newer {
			page.Newer = list("after", found.Entries[0].Seq)
		}
		if found.Older {
			page.Older = list("before", found.Entries[n-1].Seq)
		}
		if page.Each == entriesOnPage && (found.Newer || found.Older) {
			page.ToPrint = auditPath(m) + "?" + f.Query(map[string]string{"rows": strconv.Itoa(entriesToPrint)})
		}
	} else if found.Newer {
		page.Newer = auditPath(m) + "?" + f.Query(nil)
	}
	if found.Reached > 0 {
		page.Reached, page.GoOn = found.Reached, list("before", found.Reached)
	}
	page.Mark()
	return nil
}

// auditChoices is the form of the filter.
func (s *Server) auditChoices(r *http.Request, m account.Member, f auditFilter) (views.AuditFilter, error) {
	form := views.AuditFilter{
		DeliveryFilter: views.DeliveryFilter{Typed: f.Typed, Wrong: f.Wrong, Range: f.InWords(), Folded: f.Typed("from")+f.Typed("until")+f.Typed("address") == ""},
		Actions:        actionOptions(),
	}
	people, err := s.trail.People(r.Context(), audit.ChainOf(m.Workspace.ID))
	if err != nil {
		return form, err
	}
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	there, err := s.accounts.StillThere(r.Context(), ids)
	for _, p := range people {
		label := p.Label
		if !there[p.ID] {
			label += " (deleted)"
		}
		form.People = append(form.People, views.Option{Value: p.ID, Label: label})
	}
	form.People = append(form.People, actorKinds...)
	labels := map[string]string{"range": "Range", "from": "From", "until": "Until", "who": "Actor", "action": "Action", "address": "Address", "q": "Text"}
	for _, name := range auditFields {
		if text := f.Typed(name); text != "" {
			for _, o := range form.People {
				if name == "who" && o.Value == text {
					text = o.Label
				}
			}
			form.Chips = append(form.Chips, views.Chip{Label: labels[name], Value: text, Without: auditPath(m) + "?" + f.Query(map[string]string{name: ""})})
		}
	}
	return form, err
}

func (s *Server) auditRows(r *http.Request, m account.Member, entries []audit.Entry, page views.Page) ([]views.AuditRow, error) {
	there, err := s.actorsThere(r, entries)
	var rows []views.AuditRow
	for _, e := range entries {
		row := views.AuditRow{
			TrailEntry: trailEntry(e, there), Seq: e.Seq, Stored: e.At, Hash: hex.EncodeToString(e.Hash), Previous: hex.EncodeToString(e.PrevHash), ActorKind: string(e.ActorKind), ActorID: e.ActorID,
			TargetKind: e.TargetKind, TargetID: e.TargetID, Target: e.TargetLabel, TargetHref: targetPath(m, page, e), RequestID: e.RequestID,
		}
		row.Changes = facts(e)
		if e.RequestID != "" {
			row.RequestHref = auditPath(m) + "?q=" + url.QueryEscape(e.RequestID)
		}
		rows = append(rows, row)
	}
	return rows, err
}

// showVerification is the part of the page that tells how the verification stands.
// Once what was waited for is there, the page is as old as the rest of it.
func (s *Server) showVerification(w http.ResponseWriter, r *http.Request, m account.Member) error {
	standing, err := s.trail.Standing(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	part := s.verification(views.Page{Nonce: nonce(r), Now: time.Now().UTC(), Workspace: views.WorkspaceRef{Slug: m.Workspace.Slug}}, standing)
	if !part.GoesOn() && r.Header.Get("HX-Request") == "true" {
		w.Header().Set("HX-Refresh", "true") // its marks are on the entries
	}
	return render(w, r, http.StatusOK, views.Verification(part))
}

// verification is what is known of the trail's proof.
func (s *Server) verification(page views.Page, now audit.Standing) views.VerificationPart {
	part := views.VerificationPart{Nonce: page.Nonce, Slug: page.Workspace.Slug, Now: page.Now, State: views.NeverVerified, Length: now.Head.Seq}
	if v := now.Outside; v != nil {
		part.Outside = &views.OutsideNote{By: v.AskedBy, At: *v.EndedAt, Entry: v.HeadSeq}
	}
	if now.Signed != nil {
		part.Signed = &views.SignedHead{Entry: now.Signed.Seq, Hash: hex.EncodeToString(now.Signed.Hash), At: now.SignedAt, Number: now.Number, KeyID: now.KeyID}
	}
	if v := now.Last; v != nil {
		part.State, part.By, part.At, part.Entries, part.HeadHash = string(v.Outcome), v.AskedBy, *v.EndedAt, v.HeadSeq, hex.EncodeToString(v.HeadHash)
		part.Kind, part.BrokenAt, part.Until = string(v.Kind), v.BrokenAt, v.Until
		part.Checkpoints, part.KeyIDs, part.Trouble = v.Checkpoints, v.KeyIDs, v.Trouble
		part.OtherKey = v.KeyIDs != "" && v.KeyIDs != s.config.Evidence.KeyID
	}
	if v := now.Pending; v != nil {
		part.Before, part.State = part.State, views.Verifying
		part.Checked, part.Total, part.By, part.At = v.Checked, max(v.Total, now.Head.Seq), v.AskedBy, v.AskedAt
		switch {
		case v.Interrupted(page.Now):
			part.State = views.Interrupted
		case v.SeenAt == nil:
			part.State = views.Waiting
		}
	}
	return part
}

func (s *Server) verifyTrail(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := s.trail.Ask(r.Context(), s.actor(r, m)); err != nil {
		return err
	}
	return redirect(w, r, auditPath(m))
}

func (s *Server) noteOutside(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	entry, hash := r.PostFormValue("entry"), r.PostFormValue("hash")
	seq, _ := strconv.ParseInt(strings.ReplaceAll(strings.TrimSpace(entry), ",", ""), 10, 64)
	err := s.trail.NoteOutside(r.Context(), s.actor(r, m), seq, hash)
	if f, ok := fault.Of(err); err != nil && ok && f.Kind == fault.Invalid {
		return s.renderTrail(w, r, m, f.Status(), views.AuditPage{Entry: entry, Hash: hash, Errors: f.Fields()})
	}
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "Noted: you verified the trail outside."})
	return redirect(w, r, auditPath(m))
}

// signCheckpoint has a checkpoint signed. All workspaces share it, so it is not
// signed as often as somebody presses the button.
func (s *Server) signCheckpoint(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if s.config.Evidence.Sign == nil {
		return fault.New(fault.NotFound, "This instance signs no checkpoints.")
	}
	now, err := s.trail.Standing(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	if now.Signed != nil && time.Since(now.SignedAt) < pauseToSign {
		s.flash(w, views.Flash{Text: "A checkpoint was signed less than a minute ago. It is the one below."})
		return redirect(w, r, auditPath(m)+"#outside")
	}
	if err := s.trail.RecordCheckpoint(r.Context(), s.actor(r, m), m.Workspace.Name); err != nil {
		return err
	}
	if err := s.config.Evidence.Sign(r.Context()); err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "Signed: where the trail stands now, and with it the entry that you asked for this."})
	return redirect(w, r, auditPath(m)+"#outside")
}

// exportTrail sends the trail as a file, whole or what a filter shows.
func (s *Server) exportTrail(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	format := known(r.PostFormValue("format"), []string{string(audit.NDJSON), string(audit.CSV)})
	if format == "" {
		return fault.On("format", fault.Invalid, "The format is csv or ndjson.")
	}
	filter, err := url.ParseQuery(r.PostFormValue("filter"))
	if err != nil {
		return fault.On("filter", fault.Invalid, "The filter can't be understood.")
	}
	f := auditFilterIn(filter, time.Now().UTC())
	for _, message := range f.Wrong {
		return fault.On("filter", fault.Invalid, message)
	}
	export := audit.Export{Label: m.Workspace.Name, Format: audit.Format(format), Filter: f.Filter, Stated: f.Query(nil)}
	return s.sendFile(w, r, m, format, fileName("audit-"+m.Workspace.Slug, format), func(ctx context.Context, by audit.Actor, out io.Writer) error {
		return s.trail.Export(ctx, by, export, out)
	})
}
