package web

import (
	"net/http"
	"slices"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/views"
)

// membersPath is the address of a workspace's members.
func membersPath(m account.Member) string { return "/w/" + m.Workspace.Slug + "/members" }

var errNoSuchMember = fault.New(fault.NotFound, "That person does not belong to the workspace.")

// memberNamed is the member that the path names.
func (s *Server) memberNamed(r *http.Request, m account.Member) (account.Member, error) {
	id, err := uuid.Parse(r.PathValue("member"))
	if err != nil {
		return account.Member{}, errNoSuchMember
	}
	members, err := s.accounts.Members(r.Context(), m.Workspace.ID)
	if err != nil {
		return account.Member{}, err
	}
	for _, member := range members {
		if member.User.ID == id {
			return member, nil
		}
	}
	return account.Member{}, errNoSuchMember
}

func (s *Server) showMembers(w http.ResponseWriter, r *http.Request, m account.Member) error {
	frame, err := s.page(w, r, m, "Members")
	if err != nil {
		return err
	}
	members, err := s.accounts.Members(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	held, err := s.keys.HeldBy(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	invitations, err := s.accounts.Invitations(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	page := views.MembersPage{Page: frame, CanLeave: canLeave(m, members), CanGive: m.Can(account.DeleteWorkspace)}
	manages := m.Can(account.ManageMembers)
	for _, member := range members {
		row := memberRow(member, m)
		row.Made, row.Answers = held[member.User.ID].Made, held[member.User.ID].Answers
		page.Rows = append(page.Rows, row)
	}
	for _, i := range invitations {
		page.Invited = append(page.Invited, views.InvitationRow{
			ID: i.ID.String(), Email: i.Email, RoleName: roleNames[i.Role], By: i.InvitedBy, Until: i.ExpiresAt, Expired: i.Expired(frame.Now),
			CanManage: manages && m.Role.Manages(i.Role),
		})
	}
	return render(w, r, http.StatusOK, views.Members(page))
}

// memberRow is what m sees of a member.
func memberRow(member, m account.Member) views.MemberRow {
	row := views.MemberRow{
		ID: member.User.ID.String(), Name: member.User.Name, Email: member.User.Email, Role: string(member.Role), RoleName: roleNames[member.Role],
		You: member.User.ID == m.User.ID, Disabled: member.User.DisabledAt != nil, LastSeenAt: member.User.LastSeenAt,
	}
	row.Strength = strength(member.User)
	if !row.You && m.Can(account.ManageMembers) && m.Role.Manages(member.Role) {
		row.CanRemove, row.Roles = true, rolesFor(m)
		row.CanEnd = member.User.HasPassword
	}
	return row
}

// strength says what signing in takes.
func strength(user account.User) views.Strength {
	switch {
	case !user.HasPassword:
		return views.NoPassword
	case user.SecondFactor:
		return views.WithCode
	default:
		return views.PasswordOnly
	}
}

// rolesFor are the roles that m may give.
func rolesFor(m account.Member) []views.Option {
	var options []views.Option
	for _, role := range account.Roles() {
		if m.Role.Manages(role) {
			options = append(options, views.Option{Value: string(role), Label: roleNames[role]})
		}
	}
	return options
}

func (s *Server) changeRole(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	member, err := s.memberNamed(r, m)
	if err != nil {
		return err
	}
	to := account.Role(r.PostFormValue("role"))
	if err := s.accounts.ChangeRole(r.Context(), s.actor(r, m), member.User.ID, to); err != nil {
		return err
	}
	text := member.User.Name + " is " + roleNames[to] + " already."
	if member.Role != to {
		text = member.User.Name + " is now " + roleNames[to] + ". Their sessions have ended."
	}
	s.flash(w, views.Flash{Text: text})
	return redirect(w, r, membersPath(m))
}

func (s *Server) askToRemove(w http.ResponseWriter, r *http.Request, m account.Member) error {
	member, err := s.memberNamed(r, m)
	if err != nil {
		return err
	}
	if !m.Role.Manages(member.Role) {
		return fault.New(fault.Forbidden, "Your role in this workspace does not allow that.")
	}
	frame, err := s.page(w, r, m, "Remove "+member.User.Name)
	if err != nil {
		return err
	}
	held, err := s.keys.HeldBy(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.MemberRemove(views.MemberRemovePage{
		Page: frame, ID: member.User.ID.String(), Name: member.User.Name, Email: member.User.Email, RoleName: roleNames[member.Role],
		Answers: held[member.User.ID].Answers,
	}))
}

func (s *Server) removeMember(w http.ResponseWriter, r *http.Request, m account.Member) error {
	member, err := s.memberNamed(r, m)
	if err != nil {
		return err
	}
	if err := s.accounts.Remove(r.Context(), s.actor(r, m), member.User.ID); err != nil {
		return err
	}
	if member.User.ID == m.User.ID {
		return redirect(w, r, "/workspaces")
	}
	s.flash(w, views.Flash{Text: member.User.Name + " no longer belongs to this workspace."})
	return redirect(w, r, membersPath(m))
}

func (s *Server) askToLeave(w http.ResponseWriter, r *http.Request, m account.Member) error {
	frame, err := s.page(w, r, m, "Leave "+m.Workspace.Name)
	if err != nil {
		return err
	}
	held, err := s.keys.HeldBy(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	members, err := s.accounts.Members(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.Leave(views.LeavePage{Page: frame, Answers: held[m.User.ID].Answers, LastOwner: !canLeave(m, members)}))
}

// canLeave reports whether a workspace with these members has an owner without m.
func canLeave(m account.Member, members []account.Member) bool {
	return m.Role != account.Owner || slices.ContainsFunc(members, func(other account.Member) bool {
		return other.Role == account.Owner && other.User.ID != m.User.ID && other.User.DisabledAt == nil
	})
}

func (s *Server) leave(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := s.accounts.Leave(r.Context(), s.actor(r, m)); err != nil {
		return err
	}
	s.flash(w, views.Flash{Text: "You no longer belong to " + m.Workspace.Name + "."})
	return redirect(w, r, "/workspaces")
}

func (s *Server) askToGive(w http.ResponseWriter, r *http.Request, m account.Member) error {
	return s.renderGive(w, r, m, http.StatusOK, "Hand over workspace", "", nil)
}

func (s *Server) renderGive(w http.ResponseWriter, r *http.Request, m account.Member, status int, title, to string, errors map[string]string) error {
	frame, err := s.page(w, r, m, title)
	if err != nil {
		return err
	}
	members, err := s.accounts.Members(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	page := views.GivePage{Page: frame, To: to, Errors: errors}
	for _, member := range members {
		if member.User.ID != m.User.ID && member.User.DisabledAt == nil {
			page.Heirs = append(page.Heirs, views.Option{Value: member.User.ID.String(), Label: member.User.Name + ", " + roleNames[member.Role]})
		}
	}
	return render(w, r, status, views.Give(page))
}

func (s *Server) give(w http.ResponseWriter, r *http.Request, m account.Member) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	errors := map[string]string{}
	to, err := uuid.Parse(r.PostFormValue("to"))
	if err != nil {
		errors["to"] = "Choose who becomes the owner."
	}
	if problem := typedWorkspace(r, m); problem != "" {
		errors["confirm"] = problem
	}
	if len(errors) == 0 {
		err := s.accounts.HandOver(r.Context(), s.actor(r, m), to)
		f, ok := fault.Of(err)
		if err == nil {
			s.flash(w, views.Flash{Text: "The workspace is handed over. You are now an admin."})
			return redirect(w, r, membersPath(m))
		}
		if !ok || f.Field == "" {
			return err
		}
		errors = f.Fields()
	}
	return s.renderGive(w, r, m, http.StatusUnprocessableEntity, "Error: Hand over workspace", r.PostFormValue("to"), errors)
}
