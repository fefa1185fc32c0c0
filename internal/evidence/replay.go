package evidence

import (
	"encoding/json"

	"keyhook/internal/account"
	"keyhook/internal/audit"
)

// A history is what a workspace's trail tells of its keys and people at a moment.
// Times are written as in entries.
type history struct {
	until  string // entries from then on change nothing but the answers
	name   string // of the workspace
	people map[string]*person
	keys   map[string]*key
	moves  []audit.Entry // of people, in the order of the chain
}

// A person is somebody who belonged to the workspace at some time.
type person struct {
	ID, Name, Email string
	Role            string // "": no member
	Since           string // when that role began
	Disabled        bool
	Deleted         bool
	SecondFactor    string
	Spans           []creating // when they could create keys, the earliest first
}

// A creating is a time in which somebody could create keys.
type creating struct{ Role, From, Until, EndedBy string } // Until "": it goes on

// A key is one as the trail tells it.
type key struct {
	ID, Name, Scheme   string
	Active             bool
	ExpiresAt          string // "": never
	OwnerID, OwnerName string
	MadeAt             string
	MadeBy             Actor
	Imported           bool
	StatedMadeAt       string // what whoever imported it said
	StatedMadeBy       string
	StatedLastUse      string
	Shown              []Shown
	Answer             *Answered
}

// An Actor is who did something, with the name at the time.
type Actor struct {
	Kind string `json:"kind"` // user, system, cli, token, link
	ID   string `json:"id"`
	Name string `json:"name"`
}

func actorOf(e audit.Entry) Actor { return Actor{string(e.ActorKind), e.ActorID, e.ActorLabel} }

// Shown is a showing of credentials.
type Shown struct {
	At          string `json:"at"`
	To          Actor  `json:"to"`
	Address     string `json:"address"`
	APIKey      string `json:"api_key"`     // what it is recognised by; "": it was not shown
	Fingerprint string `json:"fingerprint"` // of the secret
}

// Answered is the answer to a line of a review.
type Answered struct {
	Review string `json:"review"` // its id
	Covers string `json:"covers"`
	Answer string `json:"answer"`
	Note   string `json:"note"`
	At     string `json:"at"`
	By     Actor  `json:"by"`
}

// kinds are those of the targets that a history is about.
var kinds = []string{"workspace", "key", "member"}

func newHistory(until string) *history {
	return &history{until: until, people: map[string]*person{}, keys: map[string]*key{}}
}

// fieldsOf reads what an entry tells of its target, before or after.
func fieldsOf(text string) map[string]any {
	var fields map[string]any
	if text == "" || json.Unmarshal([]byte(text), &fields) != nil {
		return map[string]any{}
	}
	return fields
}

func text(fields map[string]any, name string) string {
	value, _ := fields[name].(string)
	return value
}

// read takes the next entry of the workspace's chain.
func (h *history) read(e audit.Entry) {
	if e.Action == audit.ReviewAnswered {
		h.readAnswer(e)
	}
	if e.At >= h.until {
		return
	}
	switch e.TargetKind {
	case "workspace":
		if name := text(fieldsOf(e.After), "name"); name != "" {
			h.name = name
		}
	case "member":
		if h.people[e.TargetID] == nil {
			h.people[e.TargetID] = &person{ID: e.TargetID, SecondFactor: noFactor}
		}
		h.moves = append(h.moves, e)
	case "key":
		h.readKey(e)
	}
}

func (h *history) readKey(e audit.Entry) {
	k, after := h.keys[e.TargetID], fieldsOf(e.After)
	if k == nil {
		k = &key{ID: e.TargetID, Name: e.TargetLabel, Active: true, MadeAt: e.At, MadeBy: actorOf(e)}
		h.keys[e.TargetID] = k
	}
	switch e.Action {
	case audit.KeyImported:
		k.Imported, k.StatedMadeAt, k.StatedMadeBy, k.StatedLastUse = true, text(after, "created_at"), text(after, "created_by"), text(after, "last_used_at")
		k.change(after)
	case audit.KeyCreated, audit.KeyEdited, audit.KeyDeactivated, audit.KeyReactivated:
		k.change(after)
	case audit.CredentialsShown:
		k.Shown = append(k.Shown, shownBy(e))
	}
}

func shownBy(e audit.Entry) Shown {
	after := fieldsOf(e.After)
	return Shown{At: e.At, To: actorOf(e), Address: e.Address, APIKey: text(after, "api_key"), Fingerprint: text(after, "fingerprint")}
}

// change takes what an entry says of the key over.
func (k *key) change(after map[string]any) {
	for name, value := range after {
		written, _ := value.(string)
		switch name {
		case "name":
			k.Name = written
		case "scheme":
			k.Scheme = written
		case "owner":
			k.OwnerName = written
		case "owner_id":
			k.OwnerID = written
		case "expires_at":
			if k.ExpiresAt = written; written == "never" {
				k.ExpiresAt = ""
			}
		case "active", "is_active":
			k.Active, _ = value.(bool)
		}
	}
}

func (h *history) readAnswer(e audit.Entry) {
	after := fieldsOf(e.After)
	if k := h.keys[e.TargetID]; k != nil {
		k.Answer = &Answered{text(after, "review"), text(after, "covers"), text(after, "answer"), text(after, "note"), e.At, actorOf(e)}
	}
}

// meet puts what the instance's chain tells of people among what the workspace's
// tells, by time, and works out who was what.
func (h *history) meet(users []audit.Entry) {
	moves := h.moves
	for _, e := range users {
		if e.At >= h.until || h.people[e.TargetID] == nil {
			continue
		}
		for len(moves) > 0 && moves[0].At <= e.At {
			h.people[moves[0].TargetID].move(moves[0])
			moves = moves[1:]
		}
		h.people[e.TargetID].move(e)
	}
	for _, e := range moves {
		h.people[e.TargetID].move(e)
	}
}

func (p *person) move(e audit.Entry) {
	before, after := fieldsOf(e.Before), fieldsOf(e.After)
	could, was := p.creates(), p.Role
	if e.TargetLabel != "" {
		p.Name = e.TargetLabel
	}
	if email := text(after, "email"); email != "" {
		p.Email = email
	}
	switch e.Action {
	case audit.SecondFactorAdded:
		p.SecondFactor = codeFactor
	case audit.SecondFactorRemoved, audit.UserReset:
		p.SecondFactor = noFactor
	}
	switch role, disabled := text(after, "role"), after["disabled"]; {
	case e.TargetKind == "member" && role != "":
		p.Role = role
	case e.TargetKind == "member" && text(before, "role") != "":
		p.Role = ""
	case e.Action == audit.UserDeleted:
		p.Role, p.Deleted = "", true
	case disabled != nil:
		p.Disabled, _ = disabled.(bool)
	}
	if p.Role != was {
		p.Since = e.At
	}
	if could && (!p.creates() || p.Role != was) {
		last := &p.Spans[len(p.Spans)-1]
		last.Until, last.EndedBy = e.At, string(e.Action)
	}
	if p.creates() && (!could || p.Role != was) {
		p.Spans = append(p.Spans, creating{Role: p.Role, From: e.At})
	}
}

// creates reports whether the person can create keys.
func (p *person) creates() bool {
	return !p.Disabled && account.Member{Role: account.Role(p.Role)}.Can(account.CreateKeys)
}

// standing says what somebody is who answers for a key.
func (h *history) standing(id string) string {
	switch p := h.people[id]; {
	case id == "":
		return "none"
	case p == nil:
		return "unknown"
	case p.Deleted:
		return "deleted"
	case p.Disabled:
		return "disabled"
	case p.Role == "":
		return "left"
	default:
		return p.Role
	}
}
