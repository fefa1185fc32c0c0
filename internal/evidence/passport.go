package evidence

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/audit"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// PassportFormat names the form of a passport's JSON.
const PassportFormat = "keyhook/key-passport/v1"

// A Passport is all that can be told of one key. Times are RFC 3339 in UTC.
type Passport struct {
	Format      string `json:"format"`
	WorkspaceID string `json:"workspace_id"`
	MadeAt      string `json:"made_at"`

	KeyID     string  `json:"key_id"`
	Name      string  `json:"name"`
	Scheme    string  `json:"scheme"`
	Source    string  `json:"source"`
	Active    bool    `json:"active"`
	Owner     string  `json:"owner"` // "": nobody who is still a user
	OwnerID   string  `json:"owner_id"`
	ExpiresAt *string `json:"expires_at"` // null: never
	Hint      string  `json:"api_key"`    // what the newest API key is recognised by
	Print     string  `json:"fingerprint"`

	Created      Creation   `json:"created"`
	Shown        []ShownTo  `json:"shown"`
	FirstUsedOn  *string    `json:"first_used_on"` // a day
	LastUsedAt   *string    `json:"last_used_at"`
	LastRefused  *string    `json:"last_refused_at"`
	Addresses    []Address  `json:"addresses"`     // every one, ever
	Schemes      []Proof    `json:"schemes"`       // of the requests that are kept
	SchemesOf    int        `json:"schemes_of"`    // how many these are
	SchemesSince *string    `json:"schemes_since"` // the oldest of them
	Months       []Month    `json:"months"`
	Rotations    []Rotation `json:"rotations"`
	Trail        Standing   `json:"trail"`

	Changes int           `json:"-"` // entries about the key
	Latest  []audit.Entry `json:"-"` // of these, the newest, at most as many as were asked for, in the order of the chain
}

// Creation is how a key came to be.
type Creation struct {
	At             string `json:"at"`
	By             Actor  `json:"by"`
	Address        string `json:"address"`
	Imported       bool   `json:"imported"`
	StatedMadeAt   string `json:"stated_made_at,omitempty"`
	StatedMadeBy   string `json:"stated_made_by,omitempty"`
	StatedLastUsed string `json:"stated_last_used_at,omitempty"`
}

// ShownTo is a showing of credentials, and when it was confirmed that they are saved.
type ShownTo struct {
	Shown
	SavedAt *string `json:"saved_at"`
}

// An Address is where requests came from.
type Address struct {
	Address  string `json:"address"` // "other": beyond the first 1,000
	Accepted int64  `json:"accepted"`
	Refused  int64  `json:"refused"`
	FirstAt  string `json:"first_at"`
	LastAt   string `json:"last_at"`
}

// A Proof is how requests proved what they were.
type Proof struct {
	Scheme   string `json:"scheme"`
	Method   string `json:"method"`
	Requests int64  `json:"requests"`
	FirstAt  string `json:"first_at"`
	LastAt   string `json:"last_at"`
}

// A Month is what came in with a key in a month.
type Month struct {
	Month     string           `json:"month"`
	Accepted  int64            `json:"accepted"`
	Duplicate int64            `json:"duplicate"`
	Refused   int64            `json:"refused"`
	Reasons   map[string]int64 `json:"refused_because"`
}

// Standing is where the workspace's chain ends, and what was signed last.
type Standing struct {
	Chain      string            `json:"chain"`
	Seq        int64             `json:"seq"`
	Hash       []byte            `json:"hash"`
	Checkpoint *audit.Checkpoint `json:"checkpoint"` // of this chain alone in Heads; null: none was signed yet
}

// Passport gathers all about a key, with the newest of its entries up to a limit.
func (s *Store) Passport(ctx context.Context, key keyring.Key, limit int) (p Passport, err error) {
	now := time.Now().UTC()
	p = Passport{
		Format: PassportFormat, WorkspaceID: key.WorkspaceID.String(), MadeAt: audit.Stamp(now), KeyID: key.ID.String(), Name: key.Name, Scheme: key.Scheme,
		Source: key.Source, Active: key.Active, Owner: key.OwnerName, ExpiresAt: written(key.ExpiresAt), Hint: key.Hint, Print: key.Fingerprint,
		LastUsedAt: written(key.LastUsedAt), LastRefused: written(key.LastRefusedAt), Shown: []ShownTo{},
		Created: Creation{At: audit.Stamp(key.CreatedAt), By: Actor{Name: key.CreatedByName}},
	}
	if key.OwnerID != nil {
		p.OwnerID = key.OwnerID.String()
	}
	chain := audit.ChainOf(key.WorkspaceID)
	head, err := s.trail.HeadOf(ctx, chain)
	if err != nil {
		return p, wrap(err, "make a passport")
	}
	p.Trail = Standing{Chain: chain, Seq: head.Seq, Hash: head.Hash}
	var turned rotations
	err = s.trail.EachAbout(ctx, chain, p.KeyID, func(e audit.Entry) error {
		if e.Seq > head.Seq {
			return nil
		}
		p.read(e)
		turned.read(e)
		p.Latest = append(p.Latest, e)
		if len(p.Latest) >= 2*limit {
			p.Latest = slices.Delete(p.Latest, 0, len(p.Latest)-limit)
		}
		return nil
	})
	if err != nil {
		return p, wrap(err, "make a passport")
	}
	p.Latest = p.Latest[max(0, len(p.Latest)-limit):]
	p.Rotations = turned.at(now)
	if err := s.addPoint(ctx, &p); err != nil {
		return p, wrap(err, "make a passport")
	}
	past, err := s.events.PastOf(ctx, key.WorkspaceID, key.ID)
	p.addPast(past)
	return p, wrap(err, "make a passport")
}

// addPoint adds what the newest checkpoint says of the chain, and nothing of others:
// whether that is all of it, its signature shows with the whole one.
func (s *Store) addPoint(ctx context.Context, p *Passport) error {
	point, err := s.trail.Newest(ctx)
	if err != nil || point == nil {
		return err
	}
	point.Heads = slices.DeleteFunc(point.Heads, func(h audit.Head) bool { return h.Chain != p.Trail.Chain })
	p.Trail.Checkpoint = point
	return nil
}

// read takes an entry about the key.
func (p *Passport) read(e audit.Entry) {
	p.Changes++
	switch e.Action {
	case audit.KeyCreated, audit.KeyImported:
		after := fieldsOf(e.After)
		p.Created = Creation{
			At: e.At, By: actorOf(e), Address: e.Address, Imported: e.Action == audit.KeyImported,
			StatedMadeAt: text(after, "created_at"), StatedMadeBy: text(after, "created_by"), StatedLastUsed: text(after, "last_used_at"),
		}
	case audit.CredentialsShown:
		p.Shown = append(p.Shown, ShownTo{Shown: shownBy(e)})
	case audit.CredentialsSaved:
		for i := len(p.Shown) - 1; i >= 0; i-- {
			if to := &p.Shown[i]; to.To.Kind == string(e.ActorKind) && to.To.ID == e.ActorID {
				to.SavedAt = &e.At
				return
			}
		}
	}
}

func (p *Passport) addPast(past inbox.Past) {
	p.Addresses, p.Schemes, p.Months = []Address{}, []Proof{}, []Month{}
	if past.FirstDay != nil {
		day := past.FirstDay.Format(time.DateOnly)
		p.FirstUsedOn = &day
	}
	for _, a := range past.Addresses {
		p.Addresses = append(p.Addresses, Address{a.Address, a.Accepted, a.Refused, audit.Stamp(a.FirstAt), audit.Stamp(a.LastAt)})
	}
	for _, proof := range past.Proofs {
		p.Schemes = append(p.Schemes, Proof{proof.Scheme, string(proof.Method), proof.Requests, audit.Stamp(proof.FirstAt), audit.Stamp(proof.LastAt)})
	}
	if p.SchemesOf = past.Looked; past.Looked > 0 {
		p.SchemesSince = written(&past.Oldest)
	}
	for _, m := range past.Months {
		month := Month{m.At.Format("2006-01"), m.Accepted, m.Duplicate, m.Refused, map[string]int64{}}
		for reason, n := range m.Reasons {
			month.Reasons[string(reason)] = n
		}
		p.Months = append(p.Months, month)
	}
}

func written(at *time.Time) *string {
	if at == nil {
		return nil
	}
	stamp := audit.Stamp(*at)
	return &stamp
}

// ExportPassport records that a key's passport is taken away, and writes it as JSON
// with every entry about the key. The last one is that of the export.
func (s *Store) ExportPassport(ctx context.Context, by audit.Actor, key keyring.Key, to io.Writer) error {
	err := s.db.InTx(ctx, func(tx *sqlx.Tx) error {
		return audit.Record(ctx, tx, by, audit.PassportExported, audit.Target{Kind: "key", ID: key.ID.String(), Label: key.Name}, nil, nil)
	})
	if err != nil {
		return wrap(err, "record the export of a passport")
	}
	p, err := s.Passport(ctx, key, 1)
	if err != nil {
		return err
	}
	facts, err := json.Marshal(p)
	if err != nil {
		return err
	}
	out := append(facts[:len(facts)-1], `,"changes":[`...)
	if _, err := to.Write(out); err != nil {
		return err
	}
	separator := "\n"
	err = s.trail.EachAbout(ctx, p.Trail.Chain, p.KeyID, func(e audit.Entry) error {
		if e.Seq > p.Trail.Seq {
			return nil
		}
		line, err := e.Line()
		if err != nil {
			return err
		}
		_, err = io.WriteString(to, separator+string(line[:len(line)-1]))
		separator = ",\n"
		return err
	})
	if err != nil {
		return wrap(err, "write a passport")
	}
	_, err = io.WriteString(to, "\n]}\n")
	return err
}
