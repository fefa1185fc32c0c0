package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

func (s *Server) askIfLeaked(w http.ResponseWriter, r *http.Request, m account.Member) error {
	page, _, err := s.leakPage(w, r, m)
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.KeyLeak(page))
}

// askIfLeakedInDialog is the same question as a dialog over the key's page.
func (s *Server) askIfLeakedInDialog(w http.ResponseWriter, r *http.Request, m account.Member) error {
	page, _, err := s.leakPage(nil, r, m)
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.KeyLeakDialog(page))
}

// leakPage tells what would stop, and who would notice.
func (s *Server) leakPage(w http.ResponseWriter, r *http.Request, m account.Member) (page views.KeyLeakPage, key keyring.Key, err error) {
	if key, err = s.keyOf(r, m); err != nil {
		return page, key, err
	}
	frame, err := s.page(w, r, m, "Report "+key.Name+" as leaked")
	if err != nil {
		return page, key, err
	}
	there, err := s.keys.OverlapsOf(r.Context(), m.Workspace.ID, key.ID)
	if err != nil {
		return page, key, err
	}
	page = views.KeyLeakPage{
		Page: frame, KeyID: key.ID.String(), KeyName: key.Name, Scheme: schemeInfo(key.Scheme), Seen: there.Seen,
		HasAPIKey: key.Hint != "", HasSecret: !key.LacksSecret(), Leaked: key.Leaked(), Overlaps: len(there.Overlaps) > 0,
	}
	senders, err := s.events.SendersOf(r.Context(), m.Workspace.ID, key.ID, frame.Now.Add(-24*time.Hour))
	page.Requests, page.Senders = sendersOn(senders)
	return page, key, err
}

// sendersOn are senders as pages show them, and their requests together.
func sendersOn(found []inbox.Sender) (requests int64, senders []views.Sender) {
	for _, sender := range found {
		requests += sender.Requests
		senders = append(senders, views.Sender{Address: sender.Address, UserAgent: sender.UserAgent, Requests: sender.Requests, LastAt: sender.LastAt})
	}
	return requests, senders
}

// reportLeaked stops a key's credentials for good. A form that was opened before
// other credentials came stops none of those.
func (s *Server) reportLeaked(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	page, key, err := s.leakPage(w, r, m)
	if err != nil {
		return err
	}
	seen, _ := strconv.Atoi(r.PostFormValue("seen"))
	if seen < 1 {
		page.Message, page.Title = "The form was opened long ago. Look through it and send it again.", "Error: "+page.Title
		return render(w, r, http.StatusUnprocessableEntity, views.KeyLeak(page))
	}
	changed, err := s.keys.ReportLeaked(r.Context(), s.actor(r, m), key.ID, seen)
	if f, known := fault.Of(err); err != nil && known && f.Kind == fault.Conflict {
		page.Message, page.Title = f.Message, "Error: "+page.Title
		return render(w, r, f.Status(), views.KeyLeak(page))
	}
	if err != nil {
		return err
	}
	if !changed {
		s.flash(w, views.Flash{Text: "These credentials were reported as leaked already. Nothing else was stopped."})
	}
	return redirect(w, r, keysPath(m, key.ID.String())+"/leaked")
}

func (s *Server) showLeaked(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	page, found, err := s.leakedPage(w, r, m, key, views.RenewForm{Nonce: rand.Text()})
	if err != nil {
		return err
	}
	if !found {
		return redirect(w, r, keysPath(m, key.ID.String()))
	}
	return render(w, r, http.StatusOK, views.KeyLeaked(page))
}

// leakedPage tells what came in with leaked credentials: of the latest report, or
// of the one that the address asks for.
func (s *Server) leakedPage(w http.ResponseWriter, r *http.Request, m account.Member, key keyring.Key, form views.RenewForm) (page views.KeyLeakedPage, found bool, err error) {
	leaks, err := s.keys.LeaksOf(r.Context(), m.Workspace.ID, key.ID)
	if err != nil || len(leaks.Reports) == 0 {
		return page, false, err
	}
	frame, err := s.page(w, r, m, "Leaked credentials of "+key.Name)
	if err != nil {
		return page, false, err
	}
	which, _ := strconv.Atoi(r.URL.Query().Get("earlier"))
	if which < 0 || which >= len(leaks.Reports) {
		which = 0
	}
	report := leaks.Reports[which]
	form.Seen = leaks.Seen
	page = views.KeyLeakedPage{
		Page: frame, KeyID: key.ID.String(), KeyName: key.Name, Scheme: schemeInfo(key.Scheme), At: report.At, Since: report.Since,
		Earlier: which, Without: key.Leaked(), Active: key.Active, Expired: key.StatusAt(frame.Now) == keyring.Expired,
		CanEdit: mayEdit(m, key), Others: leaks.Others, Form: form,
	}
	for i, other := range leaks.Reports {
		page.Reports = append(page.Reports, views.LeakReport{Earlier: i, At: other.At, Credentials: leakedOf(other)})
	}
	leak := inbox.Leaked{Since: report.Since, At: report.At, Last: report.Last}
	use, err := s.events.LeakUseOf(r.Context(), m.Workspace.ID, key.ID, leak)
	if err != nil {
		return page, false, err
	}
	page.Use = useOn(use, report)
	if page.Attempts, err = s.attempts(r, m, key, leaks.Reports[0]); err != nil {
		return page, false, err
	}
	page.Deliveries, err = s.deliveries(r, m, key)
	return page, true, err
}

// leakedOf names the credentials of a report.
func leakedOf(report keyring.Leak) (names []string) {
	for _, c := range report.Credentials {
		if c.Kind == "api_key" {
			names = append(names, "API key "+c.Text)
		} else {
			names = append(names, "secret with the fingerprint "+c.Text)
		}
	}
	return names
}

func useOn(use inbox.LeakUse, report keyring.Leak) views.LeakUse {
	on := views.LeakUse{
		Accepted: use.Accepted, Duplicate: use.Duplicate, Refused: use.Refused, From: use.From, MoreUses: use.MoreUses, MoreAddresses: use.MoreAddresses,
	}
	for _, u := range use.Uses {
		on.Rows = append(on.Rows, views.UseRow{
			Address: u.Address, UserAgent: u.UserAgent, Credential: credentialOf(u, report), FirstAt: u.FirstAt, LastAt: u.LastAt,
			Accepted: u.Accepted, Duplicate: u.Duplicate, Refused: u.Refused,
		})
	}
	for _, a := range use.Addresses {
		on.Addresses = append(on.Addresses, views.AddressRow{Address: a.Address, Accepted: a.Accepted, Refused: a.Refused, FirstAt: a.FirstAt, LastAt: a.LastAt})
	}
	return on
}

// credentialOf names what a sender's requests came with. Of two API keys in an
// overlap the number tells which; of others that were counted under it, none.
func credentialOf(u inbox.Use, report keyring.Leak) string {
	kind, name := "secret", map[inbox.Method]string{inbox.BySignature: "Signature", inbox.ByToken: "Secret, as it is", inbox.ByBasic: "Password"}[u.Method]
	if u.Method == inbox.ByAPIKey {
		kind, name = "api_key", "API key"
	}
	var texts []string
	for _, c := range report.Credentials {
		if c.Kind == kind && (c.CountedAs == u.Generation || len(report.Credentials) <= 2) {
			texts = append(texts, c.Text)
		}
	}
	if len(texts) == 1 && kind == "api_key" {
		return name + " " + texts[0]
	}
	return name
}

// attempts is the part that tells who tries the credentials since.
func (s *Server) attempts(r *http.Request, m account.Member, key keyring.Key, latest keyring.Leak) (views.AttemptsPart, error) {
	part := views.AttemptsPart{Nonce: nonce(r), Slug: m.Workspace.Slug, KeyID: key.ID.String(), Now: time.Now().UTC(), At: latest.At, Signed: schemeInfo(key.Scheme).Signed != ""}
	found, err := s.events.AttemptsOf(r.Context(), m.Workspace.ID, key.ID, inbox.Leaked{Since: latest.Since, At: latest.At, Last: latest.Last})
	part.Leaked, part.Unchecked, part.LastAt = found.Leaked, found.Unchecked, found.LastAt
	_, part.Senders = sendersOn(found.Senders)
	return part, err
}

// showAttempts is that part alone, which an open page asks for again and again.
func (s *Server) showAttempts(w http.ResponseWriter, r *http.Request, m account.Member) error {
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	leaks, err := s.keys.LeaksOf(r.Context(), m.Workspace.ID, key.ID)
	if err != nil {
		return err
	}
	if len(leaks.Reports) == 0 {
		return fault.New(fault.NotFound, "Nothing of this key was reported as leaked.")
	}
	part, err := s.attempts(r, m, key, leaks.Reports[0])
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.LeakAttempts(part))
}

// renewKey makes new credentials after a leak and shows them, this once, as
// rotateKey does.
func (s *Server) renewKey(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	key, err := s.keyOf(r, m)
	if err != nil {
		return err
	}
	frame, err := s.page(w, r, m, "Leaked credentials of "+key.Name)
	if err != nil {
		return err
	}
	form := views.RenewForm{Nonce: r.PostFormValue("form_nonce"), Errors: map[string]string{}}
	seen, _ := strconv.Atoi(r.PostFormValue("seen"))
	if form.Nonce == "" || seen < 1 {
		form.Nonce, form.Message = rand.Text(), "The form was opened long ago. Look through it and send it again."
		return s.refuseRenewal(w, r, m, http.StatusUnprocessableEntity, key, form)
	}
	done, err := s.keys.Rotate(r.Context(), s.actor(r, m), key.ID, keyring.Rotation{
		Renew: true, Nonce: form.Nonce, Seen: seen, Secret: strings.TrimSpace(r.PostFormValue("secret")),
	})
	if already, ok := errors.AsType[*keyring.AlreadyIssued](err); ok {
		return s.showAlready(w, r, m, already)
	}
	if f, known := fault.Of(err); err != nil && known && (f.Kind == fault.Invalid || f.Kind == fault.Conflict) {
		if form.Errors = f.Fields(); f.Field == "" {
			form.Message = f.Message
		}
		return s.refuseRenewal(w, r, m, f.Status(), key, form)
	}
	if err != nil {
		return err
	}
	if !done.Shows() {
		s.flash(w, views.Flash{Text: "The new secret is stored. Requests are verified with it from now on." + warnings(done.Key, done.Warnings)})
		return redirect(w, r, keysPath(m, done.Key.ID.String()))
	}
	return s.showRotated(w, r, frame, done)
}

// refuseRenewal shows the page of the leak again, with what is wrong.
func (s *Server) refuseRenewal(w http.ResponseWriter, r *http.Request, m account.Member, status int, key keyring.Key, form views.RenewForm) error {
	page, found, err := s.leakedPage(w, r, m, key, form)
	if err != nil {
		return err
	}
	if !found {
		return fault.New(fault.Conflict, "This key has credentials. Rotate it to replace them.")
	}
	page.Title = "Error: " + page.Title
	return render(w, r, status, views.KeyLeaked(page))
}
