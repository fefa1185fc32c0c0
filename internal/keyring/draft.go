package keyring

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/fault"
	"keyhook/internal/oneline"
	"keyhook/internal/signature"
	"keyhook/internal/slug"
)

// Limits of what people may write.
const (
	MaxName   = 80 // characters
	MaxNote   = 2000
	MaxLabels = 20
	MaxLabel  = 40
	MaxCIDRs  = 64
	MaxSource = 64
	maxLimit  = 1_000_000
	maxExpiry = 10 * 366 * 24 * time.Hour
)

// A Draft is what people decide about a key.
type Draft struct {
	Name             string
	Scheme           string // how the sender proves itself; "" is signature.Generic
	Source           string // "": made from the name
	Note             string
	Labels           []string
	OwnerID          *uuid.UUID
	ExpiresAt        *time.Time
	RequireSignature bool
	AllowInURL       bool
	AllowedCIDRs     []string
	OtherSources     []string
	RateLimit        *int
	RateSeconds      int // 1, 60 or 3600; 0 is 60
	DailyQuota       *int
	RefPointer       string
	IdenticalBodies  string // flag (also ""), duplicate
	Log              string // full (also ""), headers, nothing

	Seen string // the Key.Edition that a form showed; "": whatever the key is now
}

// A check collects what is wrong with a form.
type check []*fault.Error

func (c *check) fail(field, format string, args ...any) {
	*c = append(*c, fault.On(field, fault.Invalid, fmt.Sprintf(format, args...)))
}

// line folds a line of text and refuses what can't be seen in it: people must be
// able to type it again.
func (c *check) line(field, what, value string, limit int) string {
	if oneline.Hides(value) {
		c.fail(field, "%s holds a character that can't be seen. Type it anew.", what)
		return value
	}
	value = oneline.Fold(value)
	c.short(field, what, value, limit)
	return value
}

// text trims what may have several lines and refuses what can't be stored.
func (c *check) text(field, what, value string, limit int) string {
	value = strings.TrimSpace(value)
	bad := func(r rune) bool {
		return r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, bad) {
		c.fail(field, "%s holds a character that can't be shown.", what)
		return value
	}
	c.short(field, what, value, limit)
	return value
}

func (c *check) short(field, what, value string, limit int) {
	if utf8.RuneCountInString(value) > limit {
		c.fail(field, "%s is longer than %d characters.", what, limit)
	}
}

var sourcePattern = regexp.MustCompile(`^[a-z0-9]+(?:[-_.][a-z0-9]+)*$`)

// checked returns d as it will be stored, or a fault that blames every wrong field.
// kept is the end that the key has, which may have passed.
func (d Draft) checked(now time.Time, kept *time.Time) (Draft, error) {
	var c check
	d.Name = c.line("name", "The name", d.Name, MaxName)
	if d.Name == "" {
		c.fail("name", "Give the key a name.")
	}
	d.Note = c.text("note", "The note", d.Note, MaxNote)
	if d.Scheme == "" {
		d.Scheme = signature.Generic
	}
	d.checkScheme(&c, d.Scheme)
	d.checkSources(&c)
	d.checkLabels(&c)
	d.checkCIDRs(&c)
	d.checkLimits(&c)
	d.checkEnd(&c, now, kept)
	if d.RefPointer = strings.TrimSpace(d.RefPointer); !validPointer(d.RefPointer) {
		c.fail("ref_pointer", "A JSON pointer is like /data/id: it begins with a slash, and ~ stands before 0 or 1.")
	}
	switch d.IdenticalBodies {
	case "":
		d.IdenticalBodies = "flag"
	case "flag", "duplicate":
	default:
		c.fail("identical_bodies", "Choose what happens to identical bodies.")
	}
	switch d.Log {
	case "":
		d.Log = "full"
	case "full", "headers", "nothing":
	default:
		c.fail("log", "Choose what the log keeps.")
	}
	return d, fault.Join(c)
}

// checkEnd refuses an end that nobody can mean.
func (d *Draft) checkEnd(c *check, now time.Time, kept *time.Time) {
	if d.ExpiresAt == nil {
		return
	}
	at := d.ExpiresAt.UTC().Truncate(time.Second)
	switch d.ExpiresAt = &at; {
	case at.Sub(now) > maxExpiry:
		c.fail("expires", "The expiry date is more than ten years away.")
	case !at.After(now) && (kept == nil || !kept.Truncate(time.Second).Equal(at)):
		c.fail("expires", "That time has passed. Choose a later one, or deactivate the key.")
	}
}

// checkScheme refuses what a scheme has no use for.
func (d *Draft) checkScheme(c *check, name string) {
	scheme, known := signature.Find(name)
	switch {
	case !known:
		c.fail("scheme", "Choose how the sender proves itself.")
		return
	case d.RequireSignature && !scheme.Signs:
		c.fail("require_signature", "%s has no signature that could be required.", scheme.Title)
	case d.AllowInURL && name != signature.Generic:
		c.fail("allow_in_url", "%s can't be used with an API key in the URL.", scheme.Title)
	}
	if d.RefPointer != "" && !scheme.Ref.ByKey {
		c.fail("ref_pointer", "%s says itself where the event's id is.", scheme.Title)
	}
}

func (d *Draft) checkSources(c *check) {
	if d.Source = strings.TrimSpace(d.Source); d.Source != "" && !validSource(d.Source) {
		c.fail("source", "A source has small letters, digits, and single - _ . between them, %d at most.", MaxSource)
	}
	if d.Source == OriginSource {
		c.fail("source", "The source “%s” is kept for imported keys.", OriginSource)
	}
	others := []string{}
	for _, source := range d.OtherSources {
		if source = strings.TrimSpace(source); source == "" || slices.Contains(others, source) {
			continue
		}
		if !validSource(source) {
			c.fail("other_sources", "“%s” is not a source: use small letters, digits, and single - _ . between them.", shorten(source))
			break
		}
		others = append(others, source)
	}
	if d.OtherSources = others; len(others) > MaxLabels {
		c.fail("other_sources", "At most %d other sources.", MaxLabels)
	}
}

func validSource(source string) bool {
	return len(source) <= MaxSource && sourcePattern.MatchString(source)
}

func (d *Draft) checkLabels(c *check) {
	labels := []string{}
	for _, label := range d.Labels {
		before := len(*c)
		if label = c.line("labels", "A label", label, MaxLabel); len(*c) > before {
			return
		}
		if label == "" || slices.Contains(labels, label) {
			continue
		}
		if labels = append(labels, label); len(labels) > MaxLabels {
			c.fail("labels", "At most %d labels.", MaxLabels)
			return
		}
	}
	d.Labels = labels
}

func (d *Draft) checkLimits(c *check) {
	if d.RateSeconds == 0 {
		d.RateSeconds = 60
	}
	if d.RateLimit != nil && (*d.RateLimit < 1 || *d.RateLimit > maxLimit) {
		c.fail("rate_limit", "The rate limit is a number from 1 to %d, or empty for none.", maxLimit)
	}
	if !slices.Contains([]int{1, 60, 3600}, d.RateSeconds) {
		c.fail("rate_limit", "The rate limit is per second, minute or hour.")
	}
	if d.DailyQuota != nil && (*d.DailyQuota < 1 || *d.DailyQuota > 1000*maxLimit) {
		c.fail("daily_quota", "The daily quota is a number from 1, or empty for none.")
	}
}

// validPointer follows RFC 6901, section 3; "" is none.
func validPointer(pointer string) bool {
	if pointer == "" {
		return true
	}
	if pointer[0] != '/' || len(pointer) > 255 || !utf8.ValidString(pointer) || strings.ContainsFunc(pointer, unicode.IsControl) {
		return false
	}
	rest := strings.ReplaceAll(strings.ReplaceAll(pointer, "~0", ""), "~1", "")
	return !strings.Contains(rest, "~")
}

func shorten(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if runes := []rune(text); len(runes) > 40 {
		return string(runes[:40]) + "…"
	}
	return text
}

// sourceOf makes a source out of a key's name.
func sourceOf(name string) string {
	if text := slug.Of(name, MaxSource-8); text != "" && text != OriginSource { // room for a number
		return text
	}
	return "key"
}

// ownerBelongs says whether a key's owner is in the workspace. The lock keeps
// them there until the key is written.
func ownerBelongs(ctx context.Context, tx *sqlx.Tx, workspace uuid.UUID, owner *uuid.UUID) error {
	const query = `SELECT count(*) FROM (SELECT FROM memberships WHERE workspace_id = $1 AND user_id = $2 FOR SHARE) AS m`
	if owner == nil {
		return nil
	}
	var n int
	if err := tx.GetContext(ctx, &n, query, workspace, *owner); err != nil {
		return err
	}
	if n == 0 {
		return fault.On("owner", fault.Invalid, "The owner must be a member of this workspace.")
	}
	return nil
}

// Check says what is wrong with a draft, all at once, without writing anything.
func (d Draft) Check() error {
	_, err := d.checked(time.Now(), nil)
	return err
}

// CheckEdit is Check for a change of a key.
func (d Draft) CheckEdit(key Key) error {
	_, err := d.editing(key, time.Now())
	return err
}

// editing is checked for a change of a key: what it has already may stay.
func (d Draft) editing(key Key, now time.Time) (Draft, error) {
	if d.Source == OriginSource && key.Source == OriginSource {
		d.Source = ""
	}
	d.Scheme = key.Scheme
	d, err := d.checked(now, key.ExpiresAt)
	if d.Source == "" {
		d.Source = key.Source
	}
	return d, err
}
