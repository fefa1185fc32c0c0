package keyring

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyhook/internal/audit"
)

// A Fate is what becomes of a row.
type Fate string

// The fates.
const (
	Makes  Fate = "new"       // it becomes a key
	IsHere Fate = "unchanged" // it is here already, and stays as it is
	Wrong  Fate = "wrong"     // it can't be imported, and so nothing is
)

// A PlannedKey is what becomes of a candidate.
type PlannedKey struct {
	Candidate
	Fate      Fate
	HereAs    string // the name of the key that is here already
	OwnerName string
	ID        uuid.UUID // once it was made

	ownerID, creatorID *uuid.UUID
}

// An ImportPlan is what an import would do, and did.
type ImportPlan struct {
	Keys    []PlannedKey
	Ignored []string
	Remarks []string
}

// Count returns how many rows have a fate.
func (p ImportPlan) Count(fate Fate) (n int) {
	for _, key := range p.Keys {
		if key.Fate == fate {
			n++
		}
	}
	return n
}

// Digest tells two plans apart that would do different things. It tells nothing of
// any credential: API keys are in it as hashes, secrets as fingerprints.
func (p ImportPlan) digest(fingerprint func(string) []byte) (string, error) {
	sum := sha256.New()
	encoder := json.NewEncoder(sum)
	for _, key := range p.Keys {
		key.Remarks, key.ID = nil, uuid.Nil
		var secret []byte
		if key.secret != "" {
			secret = fingerprint(key.secret)
		}
		if err := encoder.Encode([]any{key, key.ownerID, key.creatorID, secret}); err != nil {
			return "", err
		}
	}
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil)), nil
}

// surroundings are what a plan is held against.
type surroundings struct {
	members map[string]person // by address and by id
	names   map[string]bool
	sources map[string]bool
	hashes  map[string]holder   // by hash
	secrets map[string][]holder // by fingerprint
}

type person struct {
	ID    uuid.UUID `db:"id"`
	Email string    `db:"email"`
	Name  string    `db:"name"`
}

// A holder is a key that has one of the credentials already.
type holder struct {
	Print []byte `db:"print"`
	Here  bool   `db:"here"` // in the workspace
	Ended bool   `db:"ended"`
	Name  string `db:"name"`
}

// planImport says what becomes of each candidate, as the workspace is now.
func (s *Store) planImport(ctx context.Context, tx *sqlx.Tx, by audit.Actor, file ImportFile) (ImportPlan, error) {
	around, err := s.lookAround(ctx, tx, by.WorkspaceID, file)
	if err != nil {
		return ImportPlan{}, err
	}
	p := ImportPlan{Ignored: file.Ignored, Remarks: slices.Clone(file.Remarks)}
	lines := map[string]int{} // of the file's own API keys
	for _, c := range file.Candidates {
		key := PlannedKey{Candidate: c, Fate: Makes}
		key.Remarks, key.Faults = slices.Clone(c.Remarks), slices.Clone(c.Faults)
		s.recognise(&key, around, lines)
		around.findPeople(&key, by)
		p.Keys = append(p.Keys, key)
	}
	around.giveNames(p.Keys)
	around.giveSources(p.Keys)
	for i := range p.Keys {
		if len(p.Keys[i].Faults) > 0 {
			p.Keys[i].Fate = Wrong
		}
	}
	p.remarkOn(file, by.WorkspaceID)
	return p, nil
}

// remarkOn warns of what senders that sign name in a header.
func (p *ImportPlan) remarkOn(file ImportFile, workspace uuid.UUID) {
	for _, id := range file.Workspaces {
		if !strings.EqualFold(id, workspace.String()) {
			p.Remarks = append(p.Remarks, fmt.Sprintf("Senders that sign name their workspace in X-Workspace-ID. The file says %s, this workspace is %s: they must be told, or send to /hooks/ and the key’s id.", id, workspace))
			return
		}
	}
}

// lookAround reads what the candidates could clash with.
func (s *Store) lookAround(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, file ImportFile) (*surroundings, error) {
	const members = `SELECT u.id, u.email, u.name FROM memberships AS m JOIN users AS u ON u.id = m.user_id WHERE m.workspace_id = $1`
	const keys = `SELECT name, source FROM webhook_keys WHERE workspace_id = $1`
	const holders = `
		SELECT coalesce(c.hash, c.fingerprint) AS print, k.workspace_id = $1 AS here, c.ended_at IS NOT NULL AS ended, k.name
		FROM webhook_key_credentials AS c JOIN webhook_keys AS k ON k.id = c.webhook_key_id
		WHERE c.hash = ANY($2) OR c.fingerprint = ANY($3)`
	a := &surroundings{map[string]person{}, map[string]bool{}, map[string]bool{}, map[string]holder{}, map[string][]holder{}}
	var people []person
	if err := tx.SelectContext(ctx, &people, members, workspace); err != nil {
		return nil, err
	}
	for _, p := range people {
		a.members[strings.ToLower(p.Email)], a.members[p.ID.String()] = p, p
	}
	var there []struct{ Name, Source string }
	if err := tx.SelectContext(ctx, &there, keys, workspace); err != nil {
		return nil, err
	}
	for _, k := range there {
		a.names[k.Name], a.sources[k.Source] = true, true
	}
	var hashes, prints pq.ByteaArray
	for _, c := range file.Candidates {
		if c.APIKeyHash != nil {
			hashes = append(hashes, c.APIKeyHash)
		}
		if c.secret != "" {
			prints = append(prints, s.box.Fingerprint("secret", c.secret))
		}
	}
	var found []holder
	if err := tx.SelectContext(ctx, &found, holders, workspace, hashes, prints); err != nil {
		return nil, err
	}
	for _, h := range found {
		a.hashes[string(h.Print)] = h
		a.secrets[string(h.Print)] = append(a.secrets[string(h.Print)], h)
	}
	return a, nil
}

// recognise finds credentials that are in the file twice, or here.
func (s *Store) recognise(key *PlannedKey, a *surroundings, lines map[string]int) {
	if key.APIKeyHash != nil {
		if line, twice := lines[string(key.APIKeyHash)]; twice {
			key.fail("api_key", "The same API key is on line %d.", line)
			return
		}
		lines[string(key.APIKeyHash)] = key.Line
		h, known := a.hashes[string(key.APIKeyHash)]
		switch {
		case known && h.Here && !h.Ended:
			key.Fate, key.HereAs = IsHere, h.Name
			return
		case known && h.Here:
			key.fail("api_key", "This API key was here, as one of %s, and was stopped for good.", h.Name)
		case known: // whose is nobody's business here
			key.fail("api_key", "This API key can't be imported: it is in use already.")
		}
	}
	if key.secret == "" {
		return
	}
	print := string(s.box.Fingerprint("secret", key.secret))
	if key.APIKeyHash == nil {
		for _, h := range a.secrets[print] {
			if h.Here && !h.Ended && (h.Name == key.Draft.Name || strings.HasPrefix(h.Name, key.Draft.Name+" (")) {
				key.Fate, key.HereAs = IsHere, h.Name
				return
			}
		}
	}
	if len(a.secrets[print]) > 0 {
		key.remark("shared secret", "Another key has the same secret. Whoever knows it can send in the name of both.")
	}
	a.secrets[print] = append(a.secrets[print], holder{Name: key.Draft.Name})
}

// findPeople finds the owner and who made the key among the members. Without an
// owner it is who made it, else who imports it.
func (a *surroundings) findPeople(key *PlannedKey, by audit.Actor) {
	key.ownerID, key.creatorID = creator(by), creator(by)
	if key.CreatedBy != "" {
		maker, found := a.members[strings.ToLower(key.CreatedBy)]
		key.ownerID, key.creatorID = nil, nil
		if found {
			key.ownerID, key.creatorID = &maker.ID, &maker.ID
		} else {
			key.addNote("Created by " + key.CreatedBy + ".")
		}
	}
	if key.Owner != "" {
		owner, found := a.members[strings.ToLower(key.Owner)]
		if !found {
			key.fail("owner", "%s is not the address of a member of this workspace.", echo(key.Owner))
			return
		}
		key.ownerID = &owner.ID
	}
	if key.ownerID != nil {
		key.OwnerName = a.members[key.ownerID.String()].Name
	}
}

func (key *PlannedKey) addNote(text string) {
	var c check
	text = c.line("created_by", "created_by", text, MaxNote)
	note := strings.TrimSpace(key.Draft.Note + "\n" + text)
	if len(c) > 0 || utf8.RuneCountInString(note) > MaxNote {
		key.fail("created_by", "Who created the key can't be kept in its note: it is too long or can't be shown.")
		return
	}
	key.Draft.Note = note
}

// giveNames gives each new key a name that is free. It remembers how far it has
// counted, because thousands may have one name.
func (a *surroundings) giveNames(keys []PlannedKey) {
	counted := map[string]int{}
	for i := range keys {
		key := &keys[i]
		name := key.Draft.Name
		if key.Fate != Makes || name == "" {
			continue
		}
		for a.names[key.Draft.Name] {
			counted[name] = max(counted[name], 1) + 1
			end := " (" + strconv.Itoa(counted[name]) + ")"
			runes := []rune(name)
			key.Draft.Name = string(runes[:min(len(runes), MaxName-len(end))]) + end
		}
		if a.names[key.Draft.Name] = true; key.Draft.Name != name {
			key.remark("renamed", "Another key is called %s.", name)
		}
	}
}

// giveSources gives each new key a source: first the ones that are asked for, so
// that none which is made from a name is in their way.
func (a *surroundings) giveSources(keys []PlannedKey) {
	counted := map[string]int{}
	for i := range keys {
		key := &keys[i]
		if key.Fate != Makes || key.Draft.Source == "" || key.Draft.Source == OriginSource {
			continue
		}
		if a.sources[key.Draft.Source] {
			key.fail("source", "Another key has the source “%s”.", shorten(key.Draft.Source))
		}
		a.sources[key.Draft.Source] = true
	}
	for i := range keys {
		key := &keys[i]
		if key.Fate != Makes || key.Draft.Source != "" {
			continue
		}
		made := sourceOf(key.Draft.Name)
		key.Draft.Source = made
		for a.sources[key.Draft.Source] {
			counted[made] = max(counted[made], 1) + 1
			key.Draft.Source = made + "-" + strconv.Itoa(counted[made])
		}
		a.sources[key.Draft.Source] = true
	}
}
