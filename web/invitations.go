package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/mail"
	"keyhook/views"
)

func (s *Server) showInvite(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderInvite(w, r, m, http.StatusOK, "Invite people", views.InvitePage{Role: string(account.RoleMember)})
}

func (s *Server) renderInvite(w http.ResponseWriter, r *http.Request, m account.Member, status int, title string, page views.InvitePage) (err error) {
	if page.Page, err = s.page(w, r, m, title); err != nil {
		return err
	}
	page.Roles, page.Mailed = rolesFor(m), s.config.Mail != nil
	return render(w, r, status, views.Invite(page))
}

// invite makes links and shows them, this once: in the answer to the POST, as
// issueKey does. They are mailed after that is committed, and whatever becomes of
// the mail, the page has the links.
func (s *Server) invite(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	frame, err := s.page(w, r, m, "Invited") // before, or what is made could not be shown
	if err != nil {
		return err
	}
	page := views.InvitePage{Emails: r.PostFormValue("emails"), Role: r.PostFormValue("role")}
	made, err := s.accounts.Invite(r.Context(), s.actor(r, m), page.Emails, account.Role(page.Role))
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		page.Errors = f.Fields()
		return s.renderInvite(w, r, m, f.Status(), "Error: Invite people", page)
	}
	if err != nil {
		return err
	}
	return s.showLinks(w, r, frame, made)
}

func (s *Server) resendInvitation(w http.ResponseWriter, r *http.Request, m account.Member) error {
	id, err := invitationNamed(r)
	if err != nil {
		return err
	}
	frame, err := s.page(w, r, m, "Invited")
	if err != nil {
		return err
	}
	renewed, err := s.accounts.Renew(r.Context(), s.actor(r, m), id)
	if err != nil {
		return err
	}
	return s.showLinks(w, r, frame, []account.Invited{renewed})
}

func (s *Server) withdrawInvitation(w http.ResponseWriter, r *http.Request, m account.Member) error {
	id, err := invitationNamed(r)
	if err != nil {
		return err
	}
	withdrawn, err := s.accounts.Withdraw(r.Context(), s.actor(r, m), id)
	if err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "The invitation of " + withdrawn.Email + " is withdrawn. Its link opens nothing any more."})
	return redirect(w, r, membersPath(m))
}

func invitationNamed(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue("invitation"))
	if err != nil {
		return id, fault.New(fault.NotFound, "There is no such invitation. It may have been accepted or withdrawn.")
	}
	return id, nil
}

// showLinks mails links, where there is mail, and shows them.
func (s *Server) showLinks(w http.ResponseWriter, r *http.Request, frame views.Page, made []account.Invited) error {
	frame.AnswersForm = true
	page := views.InvitedPage{Page: frame, Until: made[0].ExpiresAt}
	var messages []mail.Message
	for _, invited := range made {
		link := s.config.PublicURL + "/invitation?token=" + url.QueryEscape(invited.Token)
		page.Links = append(page.Links, views.InvitedLink{Email: invited.Email, RoleName: roleNames[invited.Role], URL: link})
		messages = append(messages, invitationMail(invited, link))
	}
	if s.config.Mail != nil {
		for i, err := range s.config.Mail.SendAll(r.Context(), messages) {
			page.Links[i].Mailed, page.Links[i].Problem = err == nil, s.mailProblem(r, err)
		}
	}
	w.Header().Set("Pragma", "no-cache")
	return render(w, r, http.StatusOK, views.Invited(page))
}

// mailProblem logs why a mail was not sent, and says it in short.
func (s *Server) mailProblem(r *http.Request, err error) string {
	if err == nil {
		return ""
	}
	s.log.WarnContext(r.Context(), "mail was not sent", "request", requestID(r), "err", err)
	if errors.Is(err, mail.ErrRefused) {
		return "the mail server refused the address"
	}
	return "the mail server did not take it"
}

func invitationMail(invited account.Invited, link string) mail.Message {
	var text strings.Builder
	fmt.Fprintf(&text, "%s invites you to the workspace %s on Keyhook, as %s.\n\n", invited.InvitedBy, invited.WorkspaceName, strings.ToLower(roleNames[invited.Role]))
	fmt.Fprintf(&text, "Open this link to join:\n\n%s\n\n", link)
	fmt.Fprintf(&text, "It is good once, until %s UTC, and for %s alone. Opening it changes nothing until you press the button.\n", invited.ExpiresAt.UTC().Format("2 Jan 2006, 15:04"), invited.Email)
	fmt.Fprint(&text, "If you did not expect this, do nothing.\n")
	return mail.Message{To: invited.Email, Subject: "Join " + invited.WorkspaceName + " on Keyhook", Text: text.String()}
}

// invitationCookieLife is how long a browser that opened an invitation may take to
// sign in and come back, in seconds.
const invitationCookieLife = int(time.Hour / time.Second)

// invitationToken is the token of the link that was opened.
func (s *Server) invitationToken(r *http.Request) string {
	if cookie, err := r.Cookie(invitationCookie); err == nil && len(cookie.Value) <= 200 {
		return cookie.Value
	}
	return ""
}

// showInvitation is the page behind an invitation. Looking at it changes nothing.
func (s *Server) showInvitation(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("X-Robots-Tag", "noindex, nofollow")
	if token := r.URL.Query().Get("token"); token != "" && len(token) <= 200 {
		s.cookies.setAt(w, invitationCookie, token, "/invitation", invitationCookieLife)
		return redirect(w, r, "/invitation") // where it is not seen over a shoulder
	}
	return s.renderInvitation(w, r, http.StatusOK, views.InvitationPage{})
}

// renderInvitation says what the link opens, as it suits whoever is signed in.
func (s *Server) renderInvitation(w http.ResponseWriter, r *http.Request, status int, page views.InvitationPage) error {
	open, err := s.accounts.InvitationOf(r.Context(), s.invitationToken(r))
	if err != nil {
		return s.invitationGone(w, r, err)
	}
	title := "Join " + open.WorkspaceName
	if status != http.StatusOK {
		title = "Error: " + title
	}
	page.Page = s.bare(w, r, title)
	page.Team, page.By, page.Email, page.RoleName, page.Until = open.WorkspaceName, open.InvitedBy, open.Email, roleNames[open.Role], open.ExpiresAt
	page.Account = open.UserID != nil
	if session, err := s.accounts.SessionUnseen(r.Context(), s.cookies.token(r)); err == nil {
		page.SignedIn = session.User.Email
		if open.UserID != nil && *open.UserID == session.User.ID {
			page.SignedIn = page.Email
		}
	}
	return render(w, r, status, views.Invitation(page))
}

// invitationGone is the same for a link that was used, withdrawn, is too old or
// never was.
func (s *Server) invitationGone(w http.ResponseWriter, r *http.Request, err error) error {
	if f, ok := fault.Of(err); !ok || f.Kind != fault.NotFound {
		return err
	}
	return render(w, r, http.StatusNotFound, views.InvitationGone(views.GonePage{Page: s.bare(w, r, "This invitation no longer works")}))
}

// join makes whoever is signed in a member, or makes an account for who is not.
func (s *Server) join(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	token := s.invitationToken(r)
	session, err := s.accounts.SessionUnseen(r.Context(), s.cookies.token(r))
	if err != nil {
		if f, ok := fault.Of(err); !ok || f.Kind != fault.Unauthenticated {
			return err
		}
		return s.joinAnew(w, r, token)
	}
	joined, err := s.accounts.Accept(r.Context(), s.person(r, session.User), session.User, token)
	if f, ok := fault.Of(err); err != nil && ok && f.Kind == fault.Forbidden {
		return s.renderInvitation(w, r, f.Status(), views.InvitationPage{})
	}
	if err != nil {
		return s.invitationGone(w, r, err)
	}
	return s.welcome(w, r, joined)
}

func (s *Server) joinAnew(w http.ResponseWriter, r *http.Request, token string) error {
	name := r.PostFormValue("name")
	session, joined, err := s.accounts.Join(r.Context(), s.visitor(r), token, name, r.PostFormValue("password"), r.UserAgent())
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		page := views.InvitationPage{Name: name, Errors: f.Fields()}
		if f.Field == "email" { // somebody made that account meanwhile
			page = views.InvitationPage{Message: "There is an account for this address."}
		}
		return s.renderInvitation(w, r, f.Status(), page)
	}
	if err != nil {
		return s.invitationGone(w, r, err)
	}
	if err := s.cookies.begin(w, r, session); err != nil {
		return err
	}
	return s.welcome(w, r, joined)
}

func (s *Server) welcome(w http.ResponseWriter, r *http.Request, joined account.Invitation) error {
	s.cookies.setAt(w, invitationCookie, "", "/invitation", -1)
	s.flash(w, views.Flash{Text: "You belong to " + joined.WorkspaceName + " now, as " + roleNames[joined.Role] + "."})
	return redirect(w, r, "/w/"+joined.WorkspaceSlug+"/overview")
}
