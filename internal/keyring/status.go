package keyring

import "time"

// A Status is the one word that a key's state comes down to.
type Status string

// The states of a key.
const (
	Active    Status = "active"
	Expiring  Status = "expiring"   // active, and ends within ExpiringWithin
	Rotating  Status = "rotating"   // active, old credentials still work beside the new ones
	NeverUsed Status = "never-used" // active, no request accepted yet
	Idle      Status = "idle"       // active, not used for IdleAfter
	Inactive  Status = "inactive"   // deactivated
	Expired   Status = "expired"
	LeakedOut Status = "leaked" // active, without credentials since they leaked
)

const (
	// ExpiringWithin is how long before its end a key is called expiring.
	ExpiringWithin = 30 * 24 * time.Hour
	// IdleAfter is how long without use a key is called idle.
	IdleAfter = 30 * 24 * time.Hour
)

// StatusAt returns the key's status at a moment. What stops requests comes
// first, then what soon will: all of it before the old credentials alone.
func (k Key) StatusAt(now time.Time) Status {
	switch {
	case !k.Active:
		return Inactive
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		return Expired
	case k.Leaked():
		return LeakedOut
	case k.ExpiresAt != nil && k.ExpiresAt.Sub(now) <= ExpiringWithin:
		return Expiring
	case k.RotatingUntil != nil && now.Before(*k.RotatingUntil):
		return Rotating
	case k.LastUsedAt == nil:
		return NeverUsed
	case now.Sub(*k.LastUsedAt) > IdleAfter:
		return Idle
	}
	return Active
}
