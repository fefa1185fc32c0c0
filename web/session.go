package web

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/gorilla/sessions"

	"keyhook/internal/account"
	"keyhook/views"
)

// A cookieStore keeps the session's token in a cookie, and nothing else there:
// whose it is and whether it still holds is in the database.
type cookieStore struct{ secure bool }

var _ sessions.Store = (*cookieStore)(nil)

func newCookieStore(secure bool) *cookieStore { return &cookieStore{secure: secure} }

// name is the session cookie's. __Host- makes the browser insist on Secure and on
// no other host having set it; over plain http there is no such thing.
func (c *cookieStore) name() string {
	if c.secure {
		return "__Host-kh_s"
	}
	return "kh_s"
}

func (c *cookieStore) options(maxAge int) *sessions.Options {
	return &sessions.Options{Path: "/", MaxAge: maxAge, Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// Get returns the request's session, read once.
func (c *cookieStore) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(c, name)
}

// New reads the session's token from the cookie.
func (c *cookieStore) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(c, name)
	session.Options, session.IsNew = c.options(int(account.SessionLife.Seconds())), true
	if cookie, err := r.Cookie(name); err == nil {
		session.ID, session.IsNew = cookie.Value, false
	}
	return session, nil
}

// Save writes the token into the cookie, or takes the cookie away.
func (c *cookieStore) Save(_ *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	http.SetCookie(w, sessions.NewCookie(session.Name(), session.ID, session.Options))
	return nil
}

// token returns the session's token, "" for none.
func (c *cookieStore) token(r *http.Request) string {
	session, err := c.Get(r, c.name())
	if err != nil {
		return ""
	}
	return session.ID
}

// begin puts a new session's token into the browser.
func (c *cookieStore) begin(w http.ResponseWriter, r *http.Request, token string) error {
	session, err := c.Get(r, c.name())
	if err != nil {
		return err
	}
	session.ID = token
	return session.Save(r, w)
}

// end takes the token out of the browser.
func (c *cookieStore) end(w http.ResponseWriter, r *http.Request) error {
	session, err := c.Get(r, c.name())
	if err != nil {
		return err
	}
	session.ID, session.Options = "", c.options(-1)
	return session.Save(r, w)
}

// set puts a small value into the browser; maxAge is in seconds, -1 removes it.
func (c *cookieStore) set(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, sessions.NewCookie(name, value, c.options(maxAge)))
}

// setAt is set for the pages under a path alone.
func (c *cookieStore) setAt(w http.ResponseWriter, name, value, path string, maxAge int) {
	options := c.options(maxAge)
	options.Path = path
	http.SetCookie(w, sessions.NewCookie(name, value, options))
}

const (
	flashCookie = "kh_flash"
	themeCookie = "kh_theme"
	linkCookie  = "kh_link"
	stepCookie  = "kh_step"

	handoverCookie   = "kh_handover"
	invitationCookie = "kh_invitation"
)

// flash leaves a message for the next page.
func (s *Server) flash(w http.ResponseWriter, message views.Flash) {
	text, err := json.Marshal(message)
	if err != nil {
		return // of three strings it can't fail
	}
	s.cookies.set(w, flashCookie, base64.RawURLEncoding.EncodeToString(text), 60)
}

// takeFlash returns the message that the last request left, and forgets it.
func (s *Server) takeFlash(w http.ResponseWriter, r *http.Request) (message views.Flash) {
	cookie, err := r.Cookie(flashCookie)
	if err != nil || cookie.Value == "" {
		return message
	}
	s.cookies.set(w, flashCookie, "", -1)
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || json.Unmarshal(text, &message) != nil || len(message.Text) > 500 {
		return views.Flash{}
	}
	if message.Undo != "" && safeNext(message.Undo) != message.Undo {
		return views.Flash{}
	}
	return message
}

func theme(r *http.Request) string {
	if cookie, err := r.Cookie(themeCookie); err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		return cookie.Value
	}
	return ""
}
