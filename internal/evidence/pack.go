package evidence

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/audit"
)

// Format names the form of a review's file; it is signed too.
const Format = "keyhook/access-review/v1"

// The second factors.
const (
	noFactor   = "none" // a password alone signs in
	codeFactor = "totp" // an authenticator app's code beside it (RFC 6238)
)

// The lines of a review's file, in their order. All but the last follow from the
// trail and the counts, so that they are the same whenever the review is made.
type (
	headLine struct {
		Line        string   `json:"line"` // review
		Format      string   `json:"format"`
		WorkspaceID string   `json:"workspace_id"`
		Workspace   string   `json:"workspace"`
		Covers      string   `json:"covers"`
		From        string   `json:"from"`
		Until       string   `json:"until"`
		Whole       bool     `json:"whole"` // what it covers was over
		Trail       headMark `json:"trail"` // the last entry before until
		People      int      `json:"people"`
		Keys        int      `json:"keys"`
	}
	headMark struct {
		Chain string `json:"chain"`
		Seq   int64  `json:"seq"`
		Hash  []byte `json:"hash"`
	}
	// A PersonLine is what a review says of a member.
	PersonLine struct {
		Line          string `json:"line"` // person
		ID            string `json:"id"`
		Name          string `json:"name"`
		Email         string `json:"email"`
		Role          string `json:"role"`
		Since         string `json:"since"`
		Disabled      bool   `json:"disabled"`
		SecondFactor  string `json:"second_factor"`
		CanCreateKeys bool   `json:"can_create_keys"`
	}
	// A CreatingLine is a time in which somebody could create keys.
	CreatingLine struct {
		Line    string  `json:"line"` // could_create_keys
		ID      string  `json:"id"`
		Name    string  `json:"name"`
		Role    string  `json:"role"`
		From    string  `json:"from"`
		Until   *string `json:"until"`    // null: at the review's end still
		EndedBy string  `json:"ended_by"` // the action that ended it
	}
	// A KeyLine is what a review says of a key.
	KeyLine struct {
		Line           string    `json:"line"` // key
		ID             string    `json:"id"`
		Name           string    `json:"name"`
		Scheme         string    `json:"scheme"`
		Active         bool      `json:"active"`
		Owner          Owner     `json:"owner"`
		ExpiresAt      *string   `json:"expires_at"` // null: never
		LastUsedOn     *string   `json:"last_used_on"`
		IdleDays       *int      `json:"idle_days"` // null: never used
		MadeAt         string    `json:"made_at"`
		MadeBy         Actor     `json:"made_by"`
		Imported       bool      `json:"imported"`
		StatedMadeAt   string    `json:"stated_made_at,omitempty"` // by whoever imported it
		StatedMadeBy   string    `json:"stated_made_by,omitempty"`
		StatedLastUsed string    `json:"stated_last_used_at,omitempty"`
		Shown          []Shown   `json:"shown"`
		LastAnswer     *Answered `json:"last_answer"` // before this review was made
	}
	// An Owner is who answers for a key.
	Owner struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Standing string `json:"standing"` // a role, or none, left, disabled, deleted
	}
	sealLine struct {
		Line       string   `json:"line"` // signature
		Review     string   `json:"review"`
		MadeAt     string   `json:"made_at"`
		MadeBy     Actor    `json:"made_by"`
		Head       headMark `json:"head"`       // of the workspace's chain when the review was made
		Checkpoint int64    `json:"checkpoint"` // the newest one then; 0: there was none
		SHA256     []byte   `json:"sha256"`     // of the lines before, each with its line feed
		KeyID      string   `json:"key_id"`
		PublicKey  []byte   `json:"public_key"`
		Signature  []byte   `json:"signature"`
	}
)

// A pack is a review's file.
type pack struct {
	head []byte // the lines before the keys'
	keys []packed
	seal []byte
}

// A packed is a key's line.
type packed struct {
	KeyLine
	text []byte
}

// packOf writes what a history says. used has the days of the last use.
func packOf(h *history, head headLine, used map[uuid.UUID]time.Time, until time.Time) (p pack, err error) {
	people := slices.SortedFunc(maps.Values(h.people), func(a, b *person) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	members := slices.DeleteFunc(slices.Clone(people), func(m *person) bool { return m.Role == "" })
	keys := slices.SortedFunc(maps.Values(h.keys), func(a, b *key) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	head.Workspace, head.People, head.Keys = h.name, len(members), len(keys)
	lines := []any{head}
	for _, m := range members {
		lines = append(lines, PersonLine{"person", m.ID, m.Name, m.Email, m.Role, m.Since, m.Disabled, m.SecondFactor, m.creates()})
	}
	for _, m := range people {
		for _, s := range m.Spans {
			line := CreatingLine{"could_create_keys", m.ID, m.Name, s.Role, s.From, nil, s.EndedBy}
			if s.Until != "" {
				line.Until = &s.Until
			}
			lines = append(lines, line)
		}
	}
	for _, line := range lines {
		text, err := encodeLine(line)
		if err != nil {
			return pack{}, err
		}
		p.head = append(p.head, text...)
	}
	for _, k := range keys {
		line := h.line(k, used, until)
		text, err := encodeLine(line)
		if err != nil {
			return pack{}, err
		}
		p.keys = append(p.keys, packed{line, text})
	}
	return p, nil
}

func (h *history) line(k *key, used map[uuid.UUID]time.Time, until time.Time) KeyLine {
	line := KeyLine{
		Line: "key", ID: k.ID, Name: k.Name, Scheme: k.Scheme, Active: k.Active, MadeAt: k.MadeAt, MadeBy: k.MadeBy, Imported: k.Imported,
		StatedMadeAt: k.StatedMadeAt, StatedMadeBy: k.StatedMadeBy, StatedLastUsed: k.StatedLastUse, Shown: k.Shown, LastAnswer: k.Answer,
		Owner: Owner{k.OwnerID, k.OwnerName, h.standing(k.OwnerID)},
	}
	if p := h.people[k.OwnerID]; p != nil {
		line.Owner.Name = p.Name
	}
	if line.Shown == nil {
		line.Shown = []Shown{}
	}
	if k.ExpiresAt != "" {
		line.ExpiresAt = &k.ExpiresAt
	}
	id, _ := uuid.Parse(k.ID)
	last, known := used[id]
	if stated, err := time.Parse(time.RFC3339, k.StatedLastUse); err == nil && (!known || stated.After(last)) {
		last, known = stated.UTC().Truncate(24*time.Hour), true
	}
	if known && !last.After(until) {
		on, days := last.Format(time.DateOnly), int(until.Add(-time.Microsecond).Sub(last)/(24*time.Hour))
		line.LastUsedOn, line.IdleDays = &on, &days
	}
	return line
}

// encodeLine writes a line as it is signed.
func encodeLine(line any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(line)
	return b.Bytes(), err
}

// sign completes a pack with its last line.
func (p *pack) sign(signer *audit.Signer, line sealLine) (err error) {
	sum := sha256.New()
	sum.Write(p.head)
	for _, k := range p.keys {
		sum.Write(k.text)
	}
	line.Line, line.SHA256, line.KeyID, line.PublicKey = "signature", sum.Sum(nil), signer.KeyID(), signer.Public()
	line.Signature = signer.Sign(Format, line.Review, line.MadeAt, line.MadeBy.Kind, line.MadeBy.ID, line.MadeBy.Name,
		line.Head.Chain, strconv.FormatInt(line.Head.Seq, 10), string(line.Head.Hash), strconv.FormatInt(line.Checkpoint, 10),
		string(line.SHA256), line.KeyID, string(line.PublicKey))
	p.seal, err = encodeLine(line)
	return err
}
