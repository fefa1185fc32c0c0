package account_test

import "testing"

// TestNamesAreFolded: a name is stored as a browser shows it.
func TestNamesAreFolded(t *testing.T) {
	t.Parallel()
	i := open(t)
	user, _, err := i.CreateUser(t.Context(), cli, "ada@example.com", " Ada \u00a0 Okonkwo ", "")
	if err != nil || user.Name != "Ada Okonkwo" {
		t.Errorf("the user is %q, %v", user.Name, err)
	}
	workspace, err := i.CreateWorkspace(t.Context(), cli, "Harbour  &\u2003Pine ", user.ID)
	if err != nil || workspace.Name != "Harbour & Pine" {
		t.Errorf("the workspace is %q, %v", workspace.Name, err)
	}
}
