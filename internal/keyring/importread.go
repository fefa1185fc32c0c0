package keyring

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"keyhook/internal/fault"
	"keyhook/internal/sheet"
)

// A Candidate is a key that may be imported: what one row says, read but not yet
// held against what is here.
type Candidate struct {
	Line       int
	Draft      Draft // the owner apart
	Active     bool
	CreatedAt  *time.Time
	LastUsedAt *time.Time
	Owner      string // as it is written: an address, or a user's id
	CreatedBy  string
	APIKeyHash []byte
	Hint       string
	Remarks    []Remark
	Faults     []ImportFault

	secret string // kept apart from what is printed and encoded
}

// HasSecret reports whether the sender can sign.
func (c Candidate) HasSecret() bool { return c.secret != "" }

// A Remark is what people should know of a key before they import it.
type Remark struct{ Code, Text string }

// An ImportFault says what keeps a row from being imported, by its column.
type ImportFault struct{ Column, Text string }

func (c *Candidate) remark(code, format string, args ...any) {
	c.Remarks = append(c.Remarks, Remark{code, fmt.Sprintf(format, args...)})
}

func (c *Candidate) fail(column, format string, args ...any) {
	c.Faults = append(c.Faults, ImportFault{column, fmt.Sprintf(format, args...)})
}

// An ImportFile is what a table says, or one row that was typed.
type ImportFile struct {
	Candidates []Candidate
	Ignored    []string // columns that mean nothing here
	Remarks    []string // about the file as a whole
	Workspaces []string // in a column workspace_id: of senders that sign
}

// importNames are the names under which each column is known. The first is ours.
var importNames = map[string][]string{
	"name":              {"name", "key_name", "sender", "title"},
	"api_key":           {"api_key", "apikey", "key", "token", "plaintext", "plain_text", "api_key_plaintext"},
	"sha256":            {"sha256", "sha_256", "api_key_sha256", "key_sha256", "api_key_hash", "key_hash", "hashed_key", "token_hash", "hash"},
	"secret":            {"secret", "signing_secret", "hmac_secret", "webhook_secret", "secret_key"},
	"scheme":            {"scheme"},
	"source":            {"source"},
	"is_active":         {"is_active", "active", "enabled"},
	"created_at":        {"created_at", "created"},
	"last_used_at":      {"last_used_at", "last_used"},
	"expires_at":        {"expires_at", "expires", "expiry"},
	"owner":             {"owner", "owner_email"},
	"created_by":        {"created_by", "creator", "created_by_email"},
	"labels":            {"labels", "tags"},
	"note":              {"note", "notes", "description", "comment"},
	"allowed_cidrs":     {"allowed_cidrs", "allowed_ips", "allowed_addresses"},
	"hint":              {"hint", "key_hint", "prefix", "key_prefix"},
	"allow_in_url":      {"allow_in_url"},
	"require_signature": {"require_signature"},
	"workspace_id":      {"workspace_id"}, // told, not taken
}

func importColumn(title string) string {
	title = strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(title))
	for column, names := range importNames {
		if slices.Contains(names, title) {
			return column
		}
	}
	return ""
}

// ReadImport reads a table of keys made elsewhere. Its errors are faults on the
// field "file"; what is wrong with a row stands in its candidate.
func ReadImport(data []byte, now time.Time) (ImportFile, error) {
	table, err := sheet.Read(data)
	if err != nil {
		return ImportFile{}, err
	}
	var file ImportFile
	at := map[string]int{}
	for i, title := range table.Columns {
		column := importColumn(title)
		if j, twice := at[column]; twice && column != "" {
			return file, fault.On("file", fault.Invalid, fmt.Sprintf("The columns “%s” and “%s” mean the same.", shorten(table.Columns[j]), shorten(title)))
		}
		if column == "" || column == "workspace_id" {
			file.Ignored = append(file.Ignored, shorten(title))
		}
		if column != "" {
			at[column] = i
		}
	}
	if err := checkColumns(at); err != nil {
		return file, err
	}
	for _, row := range table.Rows {
		get := func(column string) string {
			if i, there := at[column]; there {
				return row.Cells[i]
			}
			return ""
		}
		c := readCandidate(row.Line, get, now)
		if id := get("workspace_id"); id != "" && c.HasSecret() && !slices.Contains(file.Workspaces, id) {
			file.Workspaces = append(file.Workspaces, shorten(id))
		}
		file.Candidates = append(file.Candidates, c)
	}
	return file, nil
}

func checkColumns(at map[string]int) error {
	has := func(column string) bool { _, there := at[column]; return there }
	switch {
	case !has("name"):
		return fault.On("file", fault.Invalid, "No column is called name. The first line must name the columns.")
	case !has("api_key") && !has("sha256") && !has("secret"):
		return fault.On("file", fault.Invalid, "No column is called api_key, sha256 or secret: there is nothing that a sender could prove itself with.")
	}
	return nil
}

// ReadImportOne reads one key from the fields of a form, by the names of the columns.
func ReadImportOne(get func(column string) string, now time.Time) ImportFile {
	return ImportFile{Candidates: []Candidate{readCandidate(0, func(column string) string { return strings.TrimSpace(get(column)) }, now)}}
}

// readCandidate understands one row.
func readCandidate(line int, cell func(string) string, now time.Time) Candidate {
	c := Candidate{Line: line}
	get := func(column string) string { return c.clean(column, cell(column)) }
	c.Owner, c.CreatedBy = get("owner"), get("created_by")
	c.Draft = Draft{
		Name: get("name"), Scheme: strings.ToLower(get("scheme")), Source: get("source"), Note: get("note"),
		Labels: split(get("labels"), ";"), AllowedCIDRs: split(get("allowed_cidrs"), "; "),
	}
	c.Active = c.flag("is_active", get("is_active"), true)
	c.Draft.AllowInURL = c.flag("allow_in_url", get("allow_in_url"), false)
	c.Draft.RequireSignature = c.flag("require_signature", get("require_signature"), false)
	c.CreatedAt = c.moment("created_at", get("created_at"), now, true)
	c.LastUsedAt = c.moment("last_used_at", get("last_used_at"), now, true)
	c.Draft.ExpiresAt = c.moment("expires_at", get("expires_at"), now, false)
	c.check(now)
	c.readCredentials(cell("api_key"), cell("sha256"), cell("secret"), get("hint"))
	c.remarkOn(now)
	return c
}

// clean keeps credentials out of what is kept and shown in the clear: columns get
// mixed up.
func (c *Candidate) clean(column, text string) string {
	hint := HintIn(text)
	if hint == "" {
		return text
	}
	c.fail(column, "This is, or holds, an API key or a secret: %s.", hint)
	return ""
}

// split reads a list whose parts any of the separators, or the form of
// PostgreSQL's arrays, divides.
func split(text, separators string) []string {
	if strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") {
		text, separators = strings.ReplaceAll(text[1:len(text)-1], `"`, ""), ","
	}
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(separators, r) || r == '\n' })
}

// echo repeats a cell of a file, unless it is so long that it may be a credential.
func echo(text string) string {
	if len([]rune(text)) > 24 && !strings.Contains(text, "@") {
		return "This"
	}
	return "“" + shorten(text) + "”"
}

func (c *Candidate) flag(column, text string, otherwise bool) bool {
	switch strings.ToLower(text) {
	case "":
		return otherwise
	case "t", "true", "1", "yes", "y", "on", "active":
		return true
	case "f", "false", "0", "no", "n", "off", "inactive":
		return false
	}
	c.fail(column, "%s is neither true nor false.", echo(text))
	return otherwise
}

var zones = []string{"", "Z07", "Z0700", "Z07:00", "-07", " -0700", " UTC", " -0700 MST"}

// moment reads a time as PostgreSQL, RFC 3339 and spreadsheets write it. Without a
// zone it is UTC.
func (c *Candidate) moment(column, text string, now time.Time, past bool) *time.Time {
	if text == "" || strings.EqualFold(text, "null") || !past && strings.EqualFold(text, "never") {
		return nil
	}
	at, err := time.Parse(time.DateOnly, text)
	for _, zone := range zones {
		if err == nil {
			break
		}
		if at, err = time.Parse("2006-01-02T15:04:05"+zone, strings.Replace(text, " ", "T", 1)); err != nil {
			at, err = time.Parse("2006-01-02T15:04"+zone, strings.Replace(text, " ", "T", 1))
		}
	}
	switch {
	case err != nil:
		c.fail(column, "%s is not a time such as 2026-01-31 or 2026-01-31T08:30:00Z.", echo(text))
	case at.Year() < 1990:
		c.fail(column, "%s is before 1990.", echo(text))
	case past && at.After(now.Add(24*time.Hour)):
		c.fail(column, "%s lies in the future.", echo(text))
	default:
		at = at.UTC()
		if past && at.After(now) {
			at = now.UTC().Truncate(time.Microsecond) // another clock
		}
		return &at
	}
	return nil
}

// check holds the draft against the rules of all keys. The origin's source, which
// no other key may have, is right for an imported one.
func (c *Candidate) check(now time.Time) {
	origin := c.Draft.Source == OriginSource
	if origin {
		c.Draft.Source = ""
	}
	draft, err := c.Draft.checked(now, c.Draft.ExpiresAt) // it may have passed
	c.Draft = draft
	if f, wrong := fault.Of(err); err != nil && wrong {
		for _, one := range append([]*fault.Error{f}, f.More...) {
			column := one.Field
			if column == "expires" {
				column = "expires_at"
			}
			c.fail(column, "%s", one.Message)
		}
	}
	if origin {
		c.Draft.Source = OriginSource
	}
}
