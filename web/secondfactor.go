package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/boombuler/barcode/qr"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/views"
)

const secondFactorPath = "/account/second-factor"

// secondFactorFor is where a member goes whose workspace needs a second factor.
func secondFactorFor(m account.Member) string {
	return secondFactorPath + "?for=" + url.QueryEscape(m.Workspace.Slug)
}

func (s *Server) factorFacts(r *http.Request, user account.User) (*views.FactorFacts, error) {
	factor, err := s.accounts.SecondFactorOf(r.Context(), user.ID)
	if factor == nil || err != nil {
		return nil, err
	}
	return &views.FactorFacts{Since: factor.Since, CodesLeft: factor.CodesLeft}, nil
}

// factorPage is the frame of the pages about a second factor, with the workspaces
// that need one. For is the one that the reader came from.
func (s *Server) factorPage(w http.ResponseWriter, r *http.Request, user account.User, title string) (page views.SecondFactorPage, err error) {
	if page.Page, err = s.signedIn(w, r, user, title); err != nil {
		return page, err
	}
	members, err := s.accounts.WorkspacesOf(r.Context(), user.ID)
	if err != nil {
		return page, err
	}
	for _, m := range members {
		if m.Workspace.RequireSecondFactor {
			page.NeededBy = append(page.NeededBy, m.Workspace.Name)
		}
		if m.Workspace.Slug == r.FormValue("for") {
			page.For = views.WorkspaceRef{Name: m.Workspace.Name, Slug: m.Workspace.Slug}
		}
	}
	page.Factor, err = s.factorFacts(r, user)
	return page, err
}

func (s *Server) showSecondFactor(w http.ResponseWriter, r *http.Request, user account.User) error {
	page, err := s.factorPage(w, r, user, "Second factor")
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.SecondFactor(page))
}

// beginSecondFactor shows the secret, in the answer to this alone.
func (s *Server) beginSecondFactor(w http.ResponseWriter, r *http.Request, user account.User) error {
	secret, err := s.accounts.BeginSecondFactor(r.Context(), user.ID)
	if err != nil {
		return s.factorFault(w, r, user, err)
	}
	return s.renderSetUpFactor(w, r, user, secret, nil)
}

func (s *Server) renderSetUpFactor(w http.ResponseWriter, r *http.Request, user account.User, secret account.CodeSecret, f *fault.Error) error {
	title, status := "Set up a second factor", http.StatusOK
	if f != nil {
		title, status = "Error: "+title, f.Status()
	}
	page, err := s.factorPage(w, r, user, title)
	if err != nil {
		return err
	}
	if f != nil {
		page.Errors = f.Fields()
	}
	page.AnswersForm, page.Secret = true, secret.Reveal()
	if page.Picture, err = pictureOf(secret.URL(user.Email)); err != nil {
		return err
	}
	w.Header().Set("Pragma", "no-cache")
	return render(w, r, status, views.SetUpSecondFactor(page))
}

// pictureOf draws a QR code as the path of an SVG.
func pictureOf(text string) (p views.Picture, err error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return p, fmt.Errorf("draw a code: %w", err)
	}
	var path strings.Builder
	size := code.Bounds().Dx()
	for y := range size {
		for x := range size {
			if dark, _, _, _ := code.At(x, y).RGBA(); dark == 0 {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x, y)
			}
		}
	}
	return views.Picture{Size: size, Path: path.String()}, nil
}

// confirmSecondFactor takes the first code and shows the recovery codes, this once.
func (s *Server) confirmSecondFactor(w http.ResponseWriter, r *http.Request, user account.User) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	codes, err := s.accounts.ConfirmSecondFactor(r.Context(), s.person(r, user), user, s.cookies.token(r), r.PostFormValue("code"))
	if f, ok := fault.Of(err); err != nil && ok && f.Field != "" {
		secret, err := s.accounts.BegunSecondFactor(r.Context(), user.ID)
		if err != nil {
			return s.factorFault(w, r, user, err)
		}
		return s.renderSetUpFactor(w, r, user, secret, f)
	}
	if err != nil {
		return s.factorFault(w, r, user, err)
	}
	return s.showRecoveryCodes(w, r, user, codes)
}

func (s *Server) renewRecoveryCodes(w http.ResponseWriter, r *http.Request, user account.User) error {
	codes, err := s.accounts.RenewRecoveryCodes(r.Context(), s.person(r, user), user)
	if err != nil {
		return s.factorFault(w, r, user, err)
	}
	return s.showRecoveryCodes(w, r, user, codes)
}

func (s *Server) showRecoveryCodes(w http.ResponseWriter, r *http.Request, user account.User, codes []string) error {
	page, err := s.factorPage(w, r, user, "Save your recovery codes")
	if err != nil {
		return err
	}
	page.AnswersForm, page.Codes = true, codes
	w.Header().Set("Pragma", "no-cache")
	return render(w, r, http.StatusOK, views.RecoveryCodes(page))
}

func (s *Server) removeSecondFactor(w http.ResponseWriter, r *http.Request, user account.User) error {
	if err := s.accounts.RemoveSecondFactor(r.Context(), s.person(r, user), user); err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "Your second factor is removed. Your password is enough to sign in."})
	return redirect(w, r, secondFactorPath)
}

// factorFault tells on the second factor's own page why something can't be done there.
func (s *Server) factorFault(w http.ResponseWriter, r *http.Request, user account.User, err error) error {
	f, ok := fault.Of(err)
	if !ok || f.Kind != fault.Conflict {
		return err
	}
	page, pageErr := s.factorPage(w, r, user, "Error: Second factor")
	if pageErr != nil {
		return pageErr
	}
	page.Message = f.Message
	return render(w, r, f.Status(), views.SecondFactor(page))
}

func (s *Server) showSignInRule(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderSignInRule(w, r, m, nil)
}

func (s *Server) renderSignInRule(w http.ResponseWriter, r *http.Request, m account.Member, f *fault.Error) error {
	title, status := "Signing in", http.StatusOK
	page := views.SignInRulePage{Required: m.Workspace.RequireSecondFactor, HasFactor: m.User.SecondFactor}
	if f != nil {
		title, status, page.Message = "Error: "+title, f.Status(), f.Message
	}
	var err error
	if page.Page, err = s.page(w, r, m, title); err != nil {
		return err
	}
	members, err := s.accounts.Members(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	for _, member := range members {
		if !member.User.SecondFactor && member.User.DisabledAt == nil {
			page.Without = append(page.Without, member.User.Name)
		}
	}
	page.Members = len(members)
	return render(w, r, status, views.SignInRule(page))
}

func (s *Server) setSignInRule(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	require := r.PostFormValue("require") == "true"
	err := s.accounts.RequireSecondFactor(r.Context(), s.actor(r, m), m.User, require)
	if f, ok := fault.Of(err); err != nil && ok && f.Kind == fault.Conflict {
		return s.renderSignInRule(w, r, m, f)
	}
	if err != nil {
		return err
	}
	text := "A password is enough in this workspace."
	if require {
		text = "Everybody in this workspace needs a second factor from now on."
	}
	s.flash(w, views.Flash{Text: text})
	return redirect(w, r, "/w/"+m.Workspace.Slug+"/sign-in-rule")
}
