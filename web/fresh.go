package web

import (
	"encoding/base64"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/views"
)

// heldFor is how long what somebody was doing waits for them to say who they are.
const heldFor = time.Hour

var errHeldTooLong = fault.New(fault.Invalid, "What you were doing waited for too long. Go back to its page and begin again.")

// A held is a request that waits in the page that asks who makes it.
type held struct {
	method, path, form string
	doing, back        string // for people: "rotate a key", and the page to go back to
}

// seal is the request as it stands in the page. A form may hold a secret that was
// pasted, so it is nothing that can be read there.
func (s *Server) seal(r *http.Request, h held) string {
	text := strings.Join([]string{strconv.FormatInt(time.Now().Unix(), 10), h.method, h.path, h.doing, h.back, h.form}, "\n")
	return base64.RawURLEncoding.EncodeToString(s.accounts.Hold(s.cookies.token(r), []byte(text)))
}

func (s *Server) unseal(r *http.Request, text string) (h held, err error) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return h, badForm(err)
	}
	plain, err := s.accounts.Held(s.cookies.token(r), sealed)
	if err != nil {
		return h, err
	}
	parts := strings.SplitN(string(plain), "\n", 6)
	if len(parts) != 6 {
		return h, badForm(nil)
	}
	began, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || time.Since(time.Unix(began, 0)) > heldFor {
		return h, errHeldTooLong
	}
	return held{method: parts[1], path: parts[2], doing: parts[3], back: parts[4], form: parts[5]}, nil
}

// askFresh asks somebody who signed in long ago who they are, and holds on to what
// they were doing: the answer carries on with it.
func (s *Server) askFresh(w http.ResponseWriter, r *http.Request, user account.User, doing string) error {
	h := held{method: r.Method, path: r.URL.RequestURI(), doing: doing, back: safeNext(cameFrom(r))}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusUnauthorized)
		return nil
	}
	if r.Method != http.MethodGet {
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" && r.ContentLength != 0 {
			return badForm(nil)
		}
		form, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
		if err != nil {
			return badForm(err)
		}
		if len(form) > maxForm {
			return fault.New(fault.TooLarge, "The form is larger than Keyhook reads.")
		}
		h.form = string(form)
	}
	if asksByScript(r) { // the page as a whole asks, not a part of it
		w.Header().Set("HX-Retarget", "body")
		w.Header().Set("HX-Reswap", "innerHTML")
		w.Header().Set("HX-Reselect", "body")
	}
	return s.renderFresh(w, r, user, h, nil)
}

func (s *Server) renderFresh(w http.ResponseWriter, r *http.Request, user account.User, h held, f *fault.Error) error {
	title, status := "Confirm it is you", http.StatusUnauthorized
	if f != nil {
		title, status = "Error: "+title, f.Status()
	}
	frame, err := s.signedIn(w, r, user, title)
	if err != nil {
		return err
	}
	frame.AnswersForm, frame.Path = true, safeNext(h.back)
	frame.Return = frame.Path // a form of the frame comes back to a page that can be asked for
	page := views.ConfirmPage{
		Page: frame, Doing: h.doing, Back: h.back, Held: s.seal(r, h), NeedsCode: user.SecondFactor,
		Stays: h.method != http.MethodGet && strings.HasPrefix(h.doing, "export"),
	}
	if f != nil {
		if page.Errors = f.Fields(); f.Field == "" {
			page.Message = f.Message
		}
	}
	return render(w, r, status, views.Confirm(page))
}

// confirmSignIn takes the answer of askFresh and carries on.
func (s *Server) confirmSignIn(w http.ResponseWriter, r *http.Request, user account.User) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	h, err := s.unseal(r, r.PostFormValue("held"))
	if err != nil {
		return err
	}
	err = s.accounts.Confirm(r.Context(), s.person(r, user), user, s.cookies.token(r), r.PostFormValue("password"), r.PostFormValue("code"))
	if f, ok := fault.Of(err); err != nil && ok && (f.Field != "" || f.Kind == fault.TooMany || f.Kind == fault.Busy) {
		return s.renderFresh(w, r, user, h, f)
	}
	if err != nil {
		return err
	}
	return s.carryOn(w, r, user, h)
}

// carryOn does what was held, as if it had been asked now: all that guards its route
// is asked again. A download leaves the page that asked in its place, so that one
// gets a page that says so and goes to fetch it.
func (s *Server) carryOn(w http.ResponseWriter, r *http.Request, user account.User, h held) error {
	if h.method == http.MethodGet {
		frame, err := s.signedIn(w, r, user, "Confirmed")
		if err != nil {
			return err
		}
		w.Header().Set("Refresh", "0; url="+h.path)
		return render(w, r, http.StatusOK, views.Confirmed(views.ConfirmedPage{Page: frame, Href: h.path, Back: h.back}))
	}
	target, err := url.ParseRequestURI(h.path)
	if err != nil {
		return err
	}
	again := r.Clone(r.Context())
	again.Method, again.URL, again.RequestURI = h.method, target, h.path
	again.Form, again.PostForm, again.MultipartForm = nil, nil, nil
	again.Body, again.ContentLength = io.NopCloser(strings.NewReader(h.form)), int64(len(h.form))
	again.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.mux.ServeHTTP(w, again)
	return nil
}
