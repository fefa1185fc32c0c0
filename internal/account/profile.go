package account

import (
	"context"
	_ "embed"
	"strings"
	"time"
	_ "time/tzdata" // wherever Keyhook runs, people choose from the same zones

	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/oneline"
	"keyhook/internal/postgres"
)

// Rename changes a user's name. Entries of the trail keep the name of their time.
func (s *Store) Rename(ctx context.Context, by audit.Actor, user User, name string) error {
	const update = `UPDATE users SET name = $2 WHERE id = $1`
	if f := checkName("name", name); f != nil {
		return f
	}
	name = oneline.Fold(name)
	if name == user.Name {
		return nil
	}
	err := s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, update, user.ID, name); err != nil {
			return err
		}
		return recordUser(ctx, tx, by, audit.UserEdited, user, audit.Fields{"name": user.Name}, audit.Fields{"name": name})
	})
	return conflict(err, "rename user")
}

// Preferences are how somebody wants the console.
type Preferences struct {
	TimeZone     string // an IANA name; "" is UTC
	ShortcutsOff bool
}

// Location is the time zone in which a user sees times.
func (u User) Location() *time.Location {
	zone, err := loadZone(u.TimeZone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// zones are the names of the tz database's zone.tab, one a line.
//
//go:embed zones.txt
var zones string

// Zones lists the time zones that people are offered; any other IANA name works too.
func Zones() []string { return append([]string{"UTC"}, strings.Fields(zones)...) }

// loadZone finds a zone by its name. "Local" would be that of the machine.
func loadZone(name string) (*time.Location, error) {
	if name == "Local" || strings.ContainsRune(name, 0) || len(name) > 64 {
		return nil, fault.New(fault.Invalid, "There is no such time zone.")
	}
	return time.LoadLocation(name)
}

// Prefer stores how a user wants the console.
func (s *Store) Prefer(ctx context.Context, by audit.Actor, user User, want Preferences) error {
	const update = `UPDATE users SET time_zone = $2, shortcuts_off = $3 WHERE id = $1`
	zone, err := loadZone(want.TimeZone)
	if err != nil {
		return fault.On("time_zone", fault.Invalid, "There is no such time zone. Write one like Europe/Berlin.")
	}
	if want.TimeZone = zone.String(); want.TimeZone == time.UTC.String() {
		want.TimeZone = ""
	}
	was := Preferences{user.TimeZone, user.ShortcutsOff}
	if want == was {
		return nil
	}
	err = s.db.InTx(postgres.Everywhere(ctx), func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, update, user.ID, want.TimeZone, want.ShortcutsOff); err != nil {
			return err
		}
		return recordUser(ctx, tx, by, audit.PreferencesChanged, user, was.fields(), want.fields())
	})
	return conflict(err, "change preferences")
}

func (p Preferences) fields() audit.Fields {
	return audit.Fields{"time_zone": p.TimeZone, "shortcuts_off": p.ShortcutsOff}
}
