package account_test

import (
	"testing"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/pgtest"
)

func TestSetRetention(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	accounts := account.NewStore(db.Console(), pgtest.Box(t), pgtest.Log(t))
	id := uuid.Must(uuid.NewV7())
	db.Raw().MustExec(`INSERT INTO workspaces (id, name, slug) VALUES ($1, 'W', 'w')`, id)
	by := audit.Actor{WorkspaceID: id, Kind: audit.CLI, Label: "test"}
	for _, tt := range []struct {
		keep, unread int
		field        string
	}{{0, 90, "keep"}, {3651, 3651, "keep"}, {30, 0, "unread"}, {30, 29, "unread"}, {-1, -1, "keep"}} {
		f, _ := fault.Of(accounts.SetRetention(t.Context(), by, tt.keep, tt.unread))
		if f.Kind != fault.Invalid || f.Field != tt.field {
			t.Errorf("SetRetention(%d, %d) = %v, want a fault on %s", tt.keep, tt.unread, f, tt.field)
		}
	}
	for range 2 { // the second changes nothing and records nothing
		if err := accounts.SetRetention(t.Context(), by, 7, 400); err != nil {
			t.Error(err)
		}
	}
	if err := accounts.SetRetention(t.Context(), by.In(uuid.Must(uuid.NewV7())), 7, 400); err == nil {
		t.Error("a workspace that is not there is changed")
	}
	found, err := accounts.Workspace(t.Context(), "w")
	if err != nil || found.KeepSignalsDays != 7 || found.KeepUnreadDays != 400 {
		t.Errorf("Workspace = %+v, %v", found, err)
	}
	var trail []string
	if err := db.Raw().Select(&trail, `SELECT action || before || after FROM audit_log`); err != nil || len(trail) != 1 ||
		trail[0] != `workspace.retention_changed{"keep_signals_days":30,"keep_unread_days":90}{"keep_signals_days":7,"keep_unread_days":400}` {
		t.Errorf("audit trail = %v, %v", trail, err)
	}
}
