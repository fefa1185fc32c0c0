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
		to    account.Retention
		field string
	}{
		{account.Retention{Keep: 0, Unread: 90, Deliveries: 90, Payloads: 30}, "keep"},
		{account.Retention{Keep: 3651, Unread: 3651, Deliveries: 90, Payloads: 30}, "keep"},
		{account.Retention{Keep: 30, Unread: 0, Deliveries: 90, Payloads: 30}, "unread"},
		{account.Retention{Keep: 30, Unread: 29, Deliveries: 90, Payloads: 30}, "unread"},
		{account.Retention{Keep: -1, Unread: -1, Deliveries: 90, Payloads: 30}, "keep"},
		{account.Retention{Keep: 30, Unread: 90, Deliveries: 90, Payloads: 91}, "deliveries"},
		{account.Retention{Keep: 30, Unread: 90, Deliveries: 3651, Payloads: 30}, "deliveries"},
		{account.Retention{Keep: 30, Unread: 90, Deliveries: 90, Payloads: 0}, "payloads"},
		{account.Retention{Keep: 30, Unread: 90, Deliveries: 0, Payloads: 1}, "deliveries"},
	} {
		f, _ := fault.Of(accounts.SetRetention(t.Context(), by, tt.to))
		if f.Kind != fault.Invalid || f.Field != tt.field {
			t.Errorf("SetRetention(%v) = %v, want a fault on %s", tt.to, f, tt.field)
		}
	}
	for range 2 { // the second changes nothing and records nothing
		if err := accounts.SetRetention(t.Context(), by, account.Retention{Keep: 7, Unread: 400, Deliveries: 60, Payloads: 10}); err != nil {
			t.Error(err)
		}
	}
	if err := accounts.SetRetention(t.Context(), by.In(uuid.Must(uuid.NewV7())), account.Retention{Keep: 7, Unread: 400, Deliveries: 60, Payloads: 10}); err == nil {
		t.Error("a workspace that is not there is changed")
	}
	found, err := accounts.Workspace(t.Context(), "w")
	if err != nil || found.Retention() != (account.Retention{Keep: 7, Unread: 400, Deliveries: 60, Payloads: 10}) {
		t.Errorf("Workspace = %+v, %v", found, err)
	}
	var trail []string
	if err := db.Raw().Select(&trail, `SELECT action || before || after FROM audit_log`); err != nil || len(trail) != 1 ||
		trail[0] != `workspace.retention_changed{"keep_deliveries_days":90,"keep_payloads_days":30,"keep_signals_days":30,"keep_unread_days":90}{"keep_deliveries_days":60,"keep_payloads_days":10,"keep_signals_days":7,"keep_unread_days":400}` {
		t.Errorf("audit trail = %v, %v", trail, err)
	}
}
