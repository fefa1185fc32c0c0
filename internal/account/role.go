package account

import "slices"

// A Role is what somebody is in a workspace.
type Role string

// The roles, the mightiest first.
const (
	Owner      Role = "owner"
	Admin      Role = "admin"
	RoleMember Role = "member"
	Auditor    Role = "auditor"
)

// A Permission is something that a role may do.
type Permission int

// The permissions. "One's own" can't be told from a role: EditKeys lets somebody
// ask, and the statement that changes the key decides whose it is.
const (
	ViewKeys        Permission = iota + 1 // keys, deliveries, what is known of signals
	ViewPayloads                          // bodies; an auditor's depends on the workspace
	CreateKeys                            // make keys
	EditKeys                              // change, deactivate, reactivate
	ViewKeyTrail                          // a key's own part of the audit trail
	ImportKeys                            // bring in keys made elsewhere
	HandOverKeys                          // make and withdraw hand-over links
	ManageTokens                          // see, make, deactivate and reactivate tokens for programs
	ViewMembers                           // see who belongs, and leave
	ManageMembers                         // invite, change roles, remove
	ManageWorkspace                       // settings
	DeleteWorkspace                       // delete, hand over
	MarkSuspect                           // mark signals suspect, and take that back
	ErasePayloads                         // erase one subject's payloads
	ReviewAccess                          // make access reviews, and read and take away all that they tell
	ViewTrail                             // the workspace's audit trail: read, export, verify
)

var everybody = []Role{Owner, Admin, RoleMember, Auditor}

// may is the table of who may do what.
var may = map[Permission][]Role{
	ViewKeys:        everybody,
	ViewPayloads:    {Owner, Admin, RoleMember},
	CreateKeys:      {Owner, Admin, RoleMember},
	EditKeys:        {Owner, Admin, RoleMember},
	ViewKeyTrail:    everybody,
	ImportKeys:      {Owner, Admin},
	HandOverKeys:    {Owner, Admin},
	ManageTokens:    {Owner, Admin},
	ViewMembers:     everybody,
	ManageMembers:   {Owner, Admin},
	ManageWorkspace: {Owner, Admin},
	DeleteWorkspace: {Owner},
	MarkSuspect:     {Owner, Admin},
	ErasePayloads:   {Owner, Admin},
	ReviewAccess:    {Owner, Admin, Auditor},
	ViewTrail:       {Owner, Admin, Auditor},
}

// Roles returns all roles, the mightiest first.
func Roles() []Role { return slices.Clone(everybody) }

// Known reports whether r is a role.
func (r Role) Known() bool { return slices.Contains(everybody, r) }

// Can reports whether m may do p in the workspace.
func (m Member) Can(p Permission) bool {
	if p == ViewPayloads && m.Role == Auditor {
		return m.Workspace.AuditorsSeePayloads
	}
	return slices.Contains(may[p], m.Role)
}
