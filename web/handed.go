package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

// handoverCookieLife is how long a browser that opened a hand-over link may come
// back to its page, in seconds, from its last visit on.
const handoverCookieLife = 30 * 24 * 3600

// A holder is whoever opened a hand-over link.
type holder struct {
	id    uuid.UUID
	token string
}

// proof shows that a form was on the link's page: what posts to an address
// without having read it uses nothing up.
func (h holder) proof() string {
	sum := sha256.Sum256([]byte("keyhook/handover-form/v1\x00" + h.id.String() + "\x00" + h.token))
	return hex.EncodeToString(sum[:16])
}

func (h holder) path() string { return handoverPath(h.id) }

// holderOf tells who opened which link: its token is in a cookie of that link's
// page alone, so that several links don't get into each other's way.
func (s *Server) holderOf(w http.ResponseWriter, r *http.Request) (holder, error) {
	w.Header().Set("X-Robots-Tag", "noindex, nofollow")
	id, err := uuid.Parse(r.PathValue("link"))
	cookie, cookieErr := r.Cookie(handoverCookie)
	if err != nil || cookieErr != nil || len(cookie.Value) > 200 {
		return holder{id: id}, fault.New(fault.NotFound, "")
	}
	return holder{id, cookie.Value}, nil
}

// handed is what the link leads to.
func (s *Server) handed(w http.ResponseWriter, r *http.Request) (holder, keyring.Handed, error) {
	by, err := s.holderOf(w, r)
	if err != nil {
		return by, keyring.Handed{}, err
	}
	handed, err := s.keys.Handed(r.Context(), by.id, by.token)
	return by, handed, err
}

// showHanded is the page behind a hand-over link. Looking at it changes nothing.
func (s *Server) showHanded(w http.ResponseWriter, r *http.Request) error {
	if s.takeHandoverToken(w, r) {
		return nil
	}
	by, handed, err := s.handed(w, r)
	if err != nil {
		return s.handedGone(w, r, err)
	}
	s.cookies.setAt(w, handoverCookie, by.token, by.path(), handoverCookieLife)
	return s.renderHanded(w, r, http.StatusOK, by, handed, views.HandedForm{})
}

// takeHandoverToken moves the link's token out of the address, as takeToken does.
func (s *Server) takeHandoverToken(w http.ResponseWriter, r *http.Request) bool {
	id, err := uuid.Parse(r.PathValue("link"))
	token := r.URL.Query().Get("token")
	if err != nil || token == "" || len(token) > 200 {
		return false
	}
	w.Header().Set("X-Robots-Tag", "noindex, nofollow")
	s.cookies.setAt(w, handoverCookie, token, handoverPath(id), handoverCookieLife)
	http.Redirect(w, r, handoverPath(id), http.StatusSeeOther)
	return true
}

// handedGone is the same for a link that never was, was withdrawn or is not whole.
func (s *Server) handedGone(w http.ResponseWriter, r *http.Request, err error) error {
	if f, ok := fault.Of(err); !ok || f.Kind != fault.NotFound {
		return err
	}
	return render(w, r, http.StatusNotFound, views.HandedGone(views.GonePage{Page: s.bare(nil, r, "This link opens nothing")}))
}

// renderHanded asks the recipient to make the credentials, or tells how it goes
// with them.
func (s *Server) renderHanded(w http.ResponseWriter, r *http.Request, status int, by holder, handed keyring.Handed, form views.HandedForm) error {
	form.Proof = by.proof()
	page := views.HandedPage{Page: s.bare(nil, r, handed.Key.Name), Form: form}
	workspace, err := s.accounts.WorkspaceOf(r.Context(), handed.WorkspaceID)
	if err != nil {
		return s.handedGone(w, r, err)
	}
	page.HandedFacts = s.handedFacts(handed, workspace.Name, page.Now)
	page.AnswersForm = r.Method == http.MethodPost
	switch {
	case handed.Over():
		page.Title = "This link has ended"
		return render(w, r, http.StatusNotFound, views.HandedOver(page))
	case handed.Used():
		return s.renderStatus(w, r, status, page, handed)
	}
	page.Title = "Make your credentials"
	if status != http.StatusOK {
		page.Title = "Error: " + page.Title
	}
	return render(w, r, status, views.HandedAsk(page))
}

func (s *Server) handedFacts(handed keyring.Handed, workspace string, now time.Time) views.HandedFacts {
	key := handed.Key
	facts := views.HandedFacts{
		LinkPath: handoverPath(handed.ID), Team: workspace, KeyID: key.ID.String(), KeyName: key.Name, MadeBy: handed.MadeBy, Recipient: handed.Recipient,
		Note: handed.Note, Scheme: schemeInfo(key.Scheme), HookURL: s.hookURL(key), Until: handed.ExpiresAt, Replaces: handed.Replaces,
		Overlap: handed.Overlap(), Status: views.KeyStatus(key.StatusAt(now)), ExpiresAt: key.ExpiresAt, From: handed.UsedFrom,
		Working: handed.Working(),
	}
	if handed.Used() {
		facts.MadeAt = *handed.UsedAt
	}
	for _, c := range handed.Credentials {
		facts.Credentials = append(facts.Credentials, views.HandedCredential{What: string(c.What), Works: c.Works, Until: c.Until})
	}
	return facts
}

// takeHandover makes the credentials and shows them to the recipient, this once.
// Whatever comes later, a reload or a second click, makes no more of them.
func (s *Server) takeHandover(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	by, handed, err := s.handed(w, r)
	if err != nil {
		return s.handedGone(w, r, err)
	}
	if !hmac.Equal([]byte(r.PostFormValue("proof")), []byte(by.proof())) {
		return s.renderHanded(w, r, http.StatusUnprocessableEntity, by, handed, views.HandedForm{Message: "Nothing was made. Press the button once more."})
	}
	done, err := s.keys.TakeHandover(r.Context(), s.visitor(r), by.id, by.token, r.PostFormValue("secret"))
	if used, ok := errors.AsType[*keyring.HandoverUsed](err); ok {
		return s.renderHanded(w, r, http.StatusOK, by, used.Handed, views.HandedForm{Again: true})
	}
	if f, known := fault.Of(err); err != nil && known && (f.Kind == fault.Invalid || f.Kind == fault.Conflict) {
		form := views.HandedForm{Errors: f.Fields()}
		if f.Field == "" {
			form.Message = f.Message
		}
		return s.renderHanded(w, r, f.Status(), by, handed, form)
	}
	if err != nil {
		return s.handedGone(w, r, err)
	}
	if !done.Shows() {
		return s.tellHandedOver(w, r, by, done)
	}
	return s.showHandedOver(w, r, by, handed, done)
}

// tellHandedOver answers with the status page where there is nothing to show: what
// was pasted is not shown again.
func (s *Server) tellHandedOver(w http.ResponseWriter, r *http.Request, by holder, done keyring.Rotated) error {
	handed, err := s.keys.Handed(r.Context(), by.id, by.token)
	if err != nil {
		return err
	}
	form := views.HandedForm{Done: "The secret is stored. Requests are verified with it from now on.", Warnings: explained(done.Key, done.Warnings)}
	return s.renderHanded(w, r, http.StatusOK, by, handed, form)
}

// showHandedOver asks the database for nothing, as showIssued does.
func (s *Server) showHandedOver(w http.ResponseWriter, r *http.Request, by holder, handed keyring.Handed, done keyring.Rotated) error {
	frame := s.bare(nil, r, "Save your credentials")
	frame.AnswersForm = true
	w.Header().Set("Pragma", "no-cache")
	secret := done.Secret.Reveal()
	if done.Pasted {
		secret = ""
	}
	id := done.Key.ID.String()
	return render(w, r, http.StatusOK, views.HandedShown(views.HandedShownPage{
		KeyCreatedPage: views.KeyCreatedPage{
			Page: frame, KeyID: id, Name: done.Key.Name, Hint: done.Key.Hint, HookURL: s.hookURL(done.Key),
			SignalsURL: s.config.HooksURL + "/api/webhooks/signals", WorkspaceID: done.Key.WorkspaceID.String(), APIKey: done.APIKey.Reveal(), Secret: secret,
			Scheme: schemeInfo(done.Key.Scheme), Pasted: done.Pasted, Warnings: explained(done.Key, done.Warnings),
			RequireSignature: done.Key.RequireSignature, AllowInURL: done.Key.AllowInURL && done.APIKey.Reveal() != "", ExpiresAt: done.Key.ExpiresAt,
			First: views.FirstRequestPart{Nonce: nonce(r), Link: by.path(), State: "waiting"},
		},
		Path: by.path(), MadeBy: handed.MadeBy, Until: done.Until, Replaces: handed.Replaces,
	}))
}

// confirmHandedOver records that the recipient has the credentials in a safe place.
func (s *Server) confirmHandedOver(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	by, err := s.holderOf(w, r)
	if err == nil && r.PostFormValue("saved") == "true" {
		err = s.keys.ConfirmHandedOver(r.Context(), s.visitor(r), by.id, by.token)
	}
	if err != nil {
		return s.handedGone(w, r, err)
	}
	return redirect(w, r, by.path())
}

// showHandedFirst is the line that waits for the first request with what was
// handed over.
func (s *Server) showHandedFirst(w http.ResponseWriter, r *http.Request) error {
	by, handed, err := s.handed(w, r)
	if f, _ := fault.Of(err); err != nil && f.Kind != fault.NotFound {
		return err
	}
	if err != nil || !handed.Used() || handed.Over() {
		return fault.New(fault.NotFound, "There is no such page.")
	}
	status, err := s.events.StatusFor(handed.Inside(r.Context()), handed.WorkspaceID, handed.KeyID, viewOf(handed), 1)
	if err != nil {
		return err
	}
	part := views.FirstRequestPart{Nonce: nonce(r), Link: by.path(), State: "waiting"}
	switch {
	case status.LastAccepted != nil:
		part.State, part.At = "accepted", status.LastAccepted.ReceivedAt
	case status.LastRefused != nil:
		part.State, part.At, part.Reason = "refused", status.LastRefused.ReceivedAt, explain(string(status.LastRefused.Reason), status.LastRefused.Reason.Explain(), status.LastRefused.Scheme)
	}
	return render(w, r, http.StatusOK, views.FirstRequest(part))
}

// viewOf is what a link's holder may know of a key's deliveries: theirs, and while
// nobody else has credentials of it, those of nobody that could be told.
func viewOf(handed keyring.Handed) inbox.SenderView {
	return inbox.SenderView{Since: *handed.UsedAt, CountedAs: handed.CountedAs, Strays: handed.Current()}
}

// renderStatus tells a sender how it goes: what was accepted, what was refused and
// what to change.
func (s *Server) renderStatus(w http.ResponseWriter, r *http.Request, status int, page views.HandedPage, handed keyring.Handed) error {
	found, err := s.events.StatusFor(handed.Inside(r.Context()), handed.WorkspaceID, handed.KeyID, viewOf(handed), recentDeliveries)
	if err != nil {
		return err
	}
	for _, d := range found.Recent {
		page.Rows = append(page.Rows, handedRow(d, handed))
	}
	if found.LastAccepted != nil {
		page.LastAccepted = &found.LastAccepted.ReceivedAt
	}
	if found.LastRefused != nil {
		last := handedRow(*found.LastRefused, handed)
		page.LastRefused = &last
	}
	return render(w, r, status, views.HandedStatus(page))
}

// senderCantChange are the reasons that only who runs the key can do something about.
var senderCantChange = []inbox.Reason{
	inbox.KeyInactive, inbox.KeyExpired, inbox.AddressForbidden, inbox.SourceForbidden, inbox.SecretMissing, inbox.NotInURL,
	inbox.SignatureRequired, inbox.RateLimited, inbox.QuotaUsed, inbox.CredentialEnded, inbox.CredentialExpired, inbox.CredentialLeaked, inbox.SecretErased,
}

// handedRow is a delivery as its sender may see it: no payload, and of the key's
// rules the one that refused it.
func handedRow(d inbox.Delivery, handed keyring.Handed) views.HandedRow {
	row := views.HandedRow{ID: d.ID.String(), At: d.ReceivedAt.UTC(), Outcome: string(d.Outcome), Status: d.Status}
	if d.Outcome != inbox.Refused {
		return row
	}
	row.Reason = explain(string(d.Reason), d.Reason.Explain(), d.Scheme)
	row.AskMaker = slices.Contains(senderCantChange, d.Reason)
	row.Section = views.ErrorSection(d.Status, string(d.Reason))
	if own := d.Generation != nil && slices.Contains(handed.CountedAs, *d.Generation); own && d.Reason == inbox.AddressForbidden {
		row.Address, row.Allowed = d.Address, handed.Key.AllowedCIDRs
	}
	return row
}
