package account

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
)

const (
	// InvitationLife is how long a link is good.
	InvitationLife = 72 * time.Hour
	// InviteAtOnce is how many addresses may be invited at once.
	InviteAtOnce = 50
	// maxOpen is how many links of a workspace may be open.
	maxOpen = 500
)

// An Invitation lets one person become a member of a workspace, by a link that is
// good once.
type Invitation struct {
	ID            uuid.UUID  `db:"id"`
	WorkspaceID   uuid.UUID  `db:"workspace_id"`
	WorkspaceName string     `db:"workspace_name"`
	WorkspaceSlug string     `db:"workspace_slug"`
	Email         string     `db:"email"`
	Role          Role       `db:"role"`
	InvitedBy     string     `db:"invited_by"` // their name
	CreatedAt     time.Time  `db:"created_at"`
	ExpiresAt     time.Time  `db:"expires_at"`
	UserID        *uuid.UUID `db:"user_id"` // whose address that is; nil: nobody's yet
}

// Expired reports whether the link is too old at a moment.
func (i Invitation) Expired(at time.Time) bool { return !i.ExpiresAt.After(at) }

// An Invited is an invitation with the token of its link, which is nowhere else.
type Invited struct {
	Invitation
	Token string
}

// invitationQuery is what is known of open invitations: not used, not withdrawn.
const invitationQuery = `
	SELECT i.id, i.workspace_id, w.name AS workspace_name, w.slug AS workspace_slug, i.email, i.role, b.name AS invited_by, i.created_at, i.expires_at,
		u.id AS user_id
	FROM invitations AS i JOIN workspaces AS w ON w.id = i.workspace_id JOIN users AS b ON b.id = i.invited_by
	LEFT JOIN users AS u ON lower(u.email) = lower(i.email)
	WHERE i.used_at IS NULL AND i.withdrawn_at IS NULL AND w.deleting_at IS NULL `

// Invitations lists a workspace's open invitations, expired ones too, by address.
func (s *Store) Invitations(ctx context.Context, workspace uuid.UUID) (open []Invitation, err error) {
	const query = invitationQuery + `AND i.workspace_id = $1 ORDER BY lower(i.email), i.id`
	err = s.db.Read(ctx, func(tx *sqlx.Tx) error { return tx.SelectContext(ctx, &open, query, workspace) })
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return open, nil
}

// Invite makes a link for each address, one to a line, for a role in by's
// workspace. It makes all of them or none: a fault names the lines that are wrong.
// Nobody can invite to more than they may give.
func (s *Store) Invite(ctx context.Context, by audit.Actor, addresses string, role Role) (made []Invited, err error) {
	emails, err := readAddresses(addresses)
	if err != nil {
		return nil, err
	}
	if !role.Known() {
		return nil, fault.On("role", fault.Invalid, "A role is owner, admin, member or auditor.")
	}
	err = s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		workspace, as, err := standingAs(ctx, tx, by, ManageMembers)
		if err != nil {
			return err
		}
		if !as.Manages(role) {
			return fault.On("role", fault.Forbidden, "Only an owner can make somebody an owner.")
		}
		if err := inviteable(ctx, tx, workspace, emails); err != nil {
			return err
		}
		for _, email := range emails {
			invited, err := invite(ctx, tx, by, workspace, email, role)
			if err != nil {
				return err
			}
			made = append(made, invited)
		}
		return nil
	})
	if err != nil {
		return nil, conflict(err, "invite")
	}
	return made, nil
}

// readAddresses reads one address a line, or several with commas or semicolons
// between them.
func readAddresses(text string) ([]string, error) {
	var emails, wrong []string
	seen := map[string]bool{}
	for n, line := range strings.Split(text, "\n") {
		for _, part := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ';' }) {
			email := strings.TrimSpace(part)
			switch {
			case email == "" || seen[strings.ToLower(email)]:
			case checkEmail(email) != nil:
				wrong = append(wrong, fmt.Sprintf("Line %d, %s, is no e-mail address like ada@example.com.", n+1, quoted(email)))
			default:
				seen[strings.ToLower(email)] = true
				emails = append(emails, email)
			}
		}
	}
	switch {
	case len(wrong) > 5:
		return nil, onEmails(strings.Join(wrong[:5], " ") + fmt.Sprintf(" And %d more.", len(wrong)-5))
	case len(wrong) > 0:
		return nil, onEmails(strings.Join(wrong, " "))
	case len(emails) == 0:
		return nil, onEmails("Write at least one e-mail address.")
	case len(emails) > InviteAtOnce:
		return nil, onEmails(fmt.Sprintf("These are %d addresses. Invite at most %d at once.", len(emails), InviteAtOnce))
	}
	return emails, nil
}

func onEmails(message string) error { return fault.On("emails", fault.Invalid, message) }

// quoted is what somebody typed, for a message: in one line, and not too long.
func quoted(text string) string {
	return "“" + printable(strings.ToValidUTF8(text, "�"), 60) + "”"
}

// inviteable says which of some addresses can't be invited to a workspace that is
// locked. Links that are too old make room for new ones.
func inviteable(ctx context.Context, tx *sqlx.Tx, workspace Workspace, emails []string) error {
	const expire = `
		UPDATE invitations SET withdrawn_at = now()
		WHERE workspace_id = $1 AND used_at IS NULL AND withdrawn_at IS NULL AND expires_at <= now() AND lower(email) = ANY (SELECT lower(e) FROM unnest($2::text[]) AS e)`
	const query = `
		SELECT e.email, EXISTS (SELECT FROM memberships AS m JOIN users AS u ON u.id = m.user_id WHERE m.workspace_id = $1 AND lower(u.email) = lower(e.email)) AS member
		FROM unnest($2::text[]) WITH ORDINALITY AS e (email, place)
		WHERE EXISTS (SELECT FROM memberships AS m JOIN users AS u ON u.id = m.user_id WHERE m.workspace_id = $1 AND lower(u.email) = lower(e.email))
			OR EXISTS (SELECT FROM invitations AS i WHERE i.workspace_id = $1 AND lower(i.email) = lower(e.email) AND i.used_at IS NULL AND i.withdrawn_at IS NULL)
		ORDER BY e.place`
	const count = `SELECT count(*) FROM invitations WHERE workspace_id = $1 AND used_at IS NULL AND withdrawn_at IS NULL`
	if _, err := tx.ExecContext(ctx, expire, workspace.ID, pq.Array(emails)); err != nil {
		return err
	}
	var taken []struct {
		Email  string `db:"email"`
		Member bool   `db:"member"`
	}
	if err := tx.SelectContext(ctx, &taken, query, workspace.ID, pq.Array(emails)); err != nil {
		return err
	}
	var messages []string
	for _, t := range taken {
		if t.Member {
			messages = append(messages, t.Email+" belongs to the workspace already.")
		} else {
			messages = append(messages, t.Email+" is invited already: send that link again instead.")
		}
	}
	if len(messages) > 0 {
		return fault.On("emails", fault.Conflict, strings.Join(messages, " "))
	}
	var open int
	if err := tx.GetContext(ctx, &open, count, workspace.ID); err != nil {
		return err
	}
	if open+len(emails) > maxOpen {
		return fault.On("emails", fault.Conflict, fmt.Sprintf("A workspace can have %d open invitations. Withdraw some first.", maxOpen))
	}
	return nil
}

func invite(ctx context.Context, tx *sqlx.Tx, by audit.Actor, workspace Workspace, email string, role Role) (Invited, error) {
	const insert = `
		INSERT INTO invitations (id, workspace_id, email, role, token_hash, invited_by, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
		RETURNING created_at, expires_at`
	id, err := uuid.NewV7()
	if err != nil {
		return Invited{}, err
	}
	token, hash := newToken()
	made := Invited{Token: token, Invitation: Invitation{
		ID: id, WorkspaceID: workspace.ID, WorkspaceName: workspace.Name, WorkspaceSlug: workspace.Slug, Email: email, Role: role, InvitedBy: by.Label,
	}}
	err = tx.QueryRowxContext(ctx, insert, id, workspace.ID, email, role, hash, by.UserID, InvitationLife.Seconds()).Scan(&made.CreatedAt, &made.ExpiresAt)
	if err != nil {
		return Invited{}, err
	}
	return made, recordInvitation(ctx, tx, by, audit.InvitationMade, made.Invitation, nil, audit.Fields{"email": email, "role": role})
}

func recordInvitation(ctx context.Context, tx *sqlx.Tx, by audit.Actor, action audit.Action, i Invitation, before, after audit.Fields) error {
	target := audit.Target{Kind: "invitation", ID: i.ID.String(), Label: i.Email}
	return audit.Record(ctx, tx, by.In(i.WorkspaceID), action, target, before, after)
}
