package web

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/views"
)

// bare is the frame of a page for somebody who is not signed in.
func (s *Server) bare(w http.ResponseWriter, r *http.Request, title string) views.Page {
	p := views.Page{Title: title, Nonce: nonce(r), Theme: theme(r), Path: r.URL.Path, Return: s.returnTo(r), Now: time.Now().UTC(), InsecureNotice: s.insecure(r)}
	if w != nil {
		p.Flash = s.takeFlash(w, r)
	}
	return p
}

// signedIn is the frame of a page for somebody outside a workspace.
func (s *Server) signedIn(w http.ResponseWriter, r *http.Request, user account.User, title string) (views.Page, error) {
	p := s.bare(w, r, title)
	p.User = views.Person{Name: user.Name, Email: user.Email}
	p.CanCreateWorkspaces, p.ShortcutsOff = !s.config.Operator, user.ShortcutsOff
	members, err := s.accounts.WorkspacesOf(r.Context(), user.ID)
	if err != nil {
		return p, err
	}
	for _, m := range members {
		p.Workspaces = append(p.Workspaces, views.WorkspaceLink{Name: m.Workspace.Name, Slug: m.Workspace.Slug})
	}
	return p, nil
}

// page is the frame of a page of a workspace.
func (s *Server) page(w http.ResponseWriter, r *http.Request, m account.Member, title string) (views.Page, error) {
	p, err := s.signedIn(w, r, m.User, title)
	if err != nil {
		return p, err
	}
	p.User.Role = roleNames[m.Role]
	p.Workspace = views.WorkspaceRef{Name: m.Workspace.Name, Slug: m.Workspace.Slug}
	p.CanCreateKeys, p.CanImportKeys = m.Can(account.CreateKeys), m.Can(account.ImportKeys)
	p.CanManageTokens, p.CanManageWorkspace = m.Can(account.ManageTokens), m.Can(account.ManageWorkspace)
	p.CanMarkSuspect, p.CanErase = m.Can(account.MarkSuspect), m.Can(account.ErasePayloads)
	p.CanHandOver, p.CanReview = m.Can(account.HandOverKeys), m.Can(account.ReviewAccess)
	p.CanManageMembers = m.Can(account.ManageMembers)
	p.CanViewTrail = m.Can(account.ViewTrail)
	for i := range p.Workspaces {
		p.Workspaces[i].Current = p.Workspaces[i].Slug == m.Workspace.Slug
	}
	p.KeyCount, err = s.keys.Count(r.Context(), m.Workspace.ID)
	return p, err
}

// returnTo is the address that a form of the frame comes back to: that of the page,
// with its query. What answered a form may have none that can be asked for: the
// nearest page above it, then.
func (s *Server) returnTo(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if whole := r.URL.RequestURI(); safeNext(whole) == whole {
			return whole
		}
		return r.URL.Path
	}
	_, pattern, _ := strings.Cut(r.Pattern, " ")
	path := r.URL.EscapedPath()
	for pattern != "" && !s.pages[pattern] {
		pattern, path = pattern[:strings.LastIndexByte(pattern, '/')], path[:strings.LastIndexByte(path, '/')]
	}
	if pattern == "" {
		return "/"
	}
	return path
}

var roleNames = map[account.Role]string{
	account.Owner: "Owner", account.Admin: "Admin", account.RoleMember: "Member", account.Auditor: "Auditor",
}

// insecure warns where what people type can be read on the way.
func (s *Server) insecure(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(host)
	if s.config.Secure || host == "localhost" || ip != nil && ip.IsLoopback() {
		return ""
	}
	return "This console is used over plain http: passwords and credentials can be read on the way. Put it behind https and set KEYHOOK_PUBLIC_URL."
}

var headings = map[int]string{
	http.StatusUnauthorized: "You are not signed in", http.StatusForbidden: "Not allowed", http.StatusNotFound: "Not found",
	http.StatusConflict: "That clashes with something", http.StatusUnprocessableEntity: "Something needs a change",
	http.StatusRequestEntityTooLarge: "Too large", http.StatusTooManyRequests: "Too many tries",
	http.StatusServiceUnavailable: "Not available at this moment", http.StatusInternalServerError: "Something went wrong",
}

// problem is the page that tells of a fault. Somebody who is signed in keeps the
// frame with their workspaces; it says nothing of the one that was asked for.
func (s *Server) problem(r *http.Request, f *fault.Error) templ.Component {
	status := f.Status()
	page := s.bare(nil, r, headings[status])
	next, label := "/", "Go to your keys"
	session, err := account.Session{}, error(f)
	if f.Kind != fault.Busy { // a database that is away is not asked again
		session, err = s.accounts.SessionUnseen(r.Context(), s.cookies.token(r))
	}
	if err == nil {
		if framed, err := s.signedIn(nil, r, session.User, headings[status]); err == nil {
			page = framed
		}
	} else if f.Kind != fault.Busy {
		next, label = "/sign-in", "Sign in"
	}
	page.Path, page.Return = "/", "/" // what was asked for is not repeated: all that is not there looks alike
	message := f.Message
	if status >= http.StatusInternalServerError && f.Kind == 0 {
		message = "Nothing was changed unless the page said so. Try again; if it goes on, tell whoever runs this Keyhook the request's id."
	}
	return views.Problem(views.ProblemPage{
		Page: page, Status: status, Heading: headings[status], Message: message, RequestID: requestID(r), NextURL: next, NextLabel: label,
	})
}

// keysPath is the address of a workspace's keys, or of something below.
func keysPath(m account.Member, more ...string) string {
	path := "/w/" + m.Workspace.Slug + "/keys"
	for _, part := range more {
		path += "/" + url.PathEscape(part)
	}
	return path
}

// known returns value if it is one of those, else "".
func known(value string, those []string) string {
	if slices.Contains(those, value) {
		return value
	}
	return ""
}
