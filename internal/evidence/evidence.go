// Package evidence rebuilds from the audit trail what auditors ask for: the
// passport of a key, and access reviews, signed files that tell who could do what
// at a date. It owns the tables access_reviews and access_review_lines.
//
// What it says of the past comes from entries of the trail and from counts that
// outlive the requests, never from what the tables hold today. So a review of a
// date that is over is the same whenever it is made.
package evidence

import (
	"fmt"

	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/postgres"
)

// A Store makes and keeps evidence.
type Store struct {
	db     *postgres.DB
	trail  *audit.Store
	events *inbox.Store
	signer *audit.Signer
}

// NewStore returns a Store on db, whose reviews are signed like checkpoints.
func NewStore(db *postgres.DB, trail *audit.Store, events *inbox.Store, signer *audit.Signer) *Store {
	return &Store{db: db, trail: trail, events: events, signer: signer}
}

// wrap leaves faults as they are and says of other errors what was being done.
func wrap(err error, doing string) error {
	if _, known := fault.Of(err); err == nil || known {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}
