package web

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/audit"
	"keyhook/views"
)

// An auditFilter is a filter of the trail as it stands in an address: what was
// typed, which is shown again, and what it means.
type auditFilter struct {
	audit.Filter
	typed url.Values
	Wrong map[string]string // what can't be understood, by field; nothing is shown then
}

// auditFields are the names of the filter in an address, in the order in which they
// are written.
var auditFields = []string{"range", "from", "until", "who", "action", "address", "q"}

// actorKinds are who acts without being a user, by their value in the filter.
var actorKinds = []views.Option{
	{Value: "system", Label: "Keyhook itself"},
	{Value: "cli", Label: "Commands on the machine"},
	{Value: "link", Label: "Hand-over and password links"},
	{Value: "token", Label: "Programs"},
}

// actionGroups are sorts of actions, with what their names begin with.
var actionGroups = []struct {
	Value, Label string
	begin        []string
}{
	{"keys", "Keys", []string{"key.", "keys."}},
	{"tokens", "Tokens", []string{"token."}},
	{"people", "People and sign-ins", []string{"user.", "member."}},
	{"payloads", "Payloads and signals", []string{"signal.", "signals.", "payloads.", "delivery."}},
	{"exports", "Exports", []string{"audit.exported", "keys.exported", "deliveries.export"}},
	{"workspace", "Workspace", []string{"workspace."}},
	{"evidence", "Audit trail", []string{"audit."}},
}

var actionName = regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`)

// auditFilterIn reads the filter in query. A range counts back from now; from and
// until, in UTC, go before it.
func auditFilterIn(query url.Values, now time.Time) auditFilter {
	f := auditFilter{typed: url.Values{}, Wrong: map[string]string{}}
	get := func(name string) string {
		text := strings.TrimSpace(strings.ToValidUTF8(query.Get(name), ""))
		if text == "" || strings.ContainsRune(text, 0) {
			return ""
		}
		f.typed.Set(name, text)
		if len(text) > maxFilterText {
			f.Wrong[name] = "That is too long to look for: use at most 255 bytes."
			return ""
		}
		return text
	}
	f.readTimes(get, now)
	f.readWho(get("who"))
	f.readAction(get("action"))
	if f.Address = get("address"); f.Address != "" {
		if address, err := netip.ParseAddr(f.Address); err == nil {
			f.Address = address.Unmap().String()
		}
	}
	f.Text = get("q")
	if id, err := uuid.Parse(f.Text); err == nil && len(f.Text) == 36 {
		f.ID, f.Text = id.String(), ""
	}
	return f
}

func (f *auditFilter) readTimes(get func(string) string, now time.Time) {
	if name := get("range"); logRanges[name] > 0 {
		f.From = now.Add(-logRanges[name])
	} else if name != "" {
		f.Wrong["range"] = "There is no such range."
	}
	from, until := f.readTime("from", get("from")), f.readTime("until", get("until"))
	if len(f.typed.Get("until")) == len(time.DateOnly) && !until.IsZero() {
		until = until.AddDate(0, 0, 1) // a day is meant with all of it
	}
	if !from.IsZero() || !until.IsZero() {
		f.From, f.Until = from, until
		f.typed.Del("range")
	}
	if !from.IsZero() && !until.IsZero() && !from.Before(until) {
		f.Wrong["until"] = "The end must be after the beginning."
	}
}

func (f *auditFilter) readTime(name, text string) time.Time {
	at, ok := parseMoment(text, time.UTC)
	if !ok && text != "" {
		f.Wrong[name] = notMoment + ", in UTC."
	}
	return at
}

func (f *auditFilter) readWho(text string) {
	if text == "" {
		return
	}
	if slices.ContainsFunc(actorKinds, func(o views.Option) bool { return o.Value == text }) {
		f.Kind = audit.ActorKind(text)
		return
	}
	id, err := uuid.Parse(text)
	if err != nil {
		f.Wrong["who"] = "There is nobody with that id."
		return
	}
	f.Kind, f.ActorID = audit.User, id.String()
}

func (f *auditFilter) readAction(text string) {
	switch {
	case text == "":
	case actionName.MatchString(text):
		f.Actions = []audit.Action{audit.Action(text)}
	default:
		f.Actions = actionsOf(text)
		if len(f.Actions) == 0 {
			f.Wrong["action"] = "There is no such action."
		}
	}
}

// actionsOf lists the actions of a group.
func actionsOf(group string) (list []audit.Action) {
	for _, g := range actionGroups {
		if g.Value != group {
			continue
		}
		for _, name := range views.ActionNames() {
			if slices.ContainsFunc(g.begin, func(begin string) bool { return strings.HasPrefix(name, begin) }) {
				list = append(list, audit.Action(name))
			}
		}
	}
	return list
}

// actionOptions are the groups, and then each action.
func actionOptions() (options []views.Option) {
	for _, g := range actionGroups {
		options = append(options, views.Option{Value: g.Value, Label: "All: " + g.Label})
	}
	for _, name := range views.ActionNames() {
		options = append(options, views.Option{Value: name, Label: name})
	}
	return options
}

// Typed returns what was typed into a field.
func (f auditFilter) Typed(field string) string { return f.typed.Get(field) }

// Query returns the filter as it stands in an address, with other values in some
// fields; "" takes one out.
func (f auditFilter) Query(other map[string]string) string {
	query := url.Values{}
	for name := range f.typed {
		query.Set(name, f.typed.Get(name))
	}
	for name, text := range other {
		query.Set(name, text)
	}
	var parts []string
	for _, name := range append(slices.Clone(auditFields), "rows", "before", "after", "entry") {
		if text := query.Get(name); text != "" {
			parts = append(parts, name+"="+url.QueryEscape(text))
		}
	}
	return strings.Join(parts, "&")
}

// InWords is the time that is asked for; "" is any.
func (f auditFilter) InWords() string {
	moment := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
	switch {
	case f.From.IsZero() && f.Until.IsZero():
		return ""
	case f.Until.IsZero():
		return "since " + moment(f.From) + " UTC"
	case f.From.IsZero():
		return "before " + moment(f.Until) + " UTC"
	}
	return "from " + moment(f.From) + " to " + moment(f.Until) + " UTC"
}

// seqIn reads the number of an entry; 0: there is none.
func seqIn(query url.Values, name string) int64 {
	n, err := strconv.ParseInt(query.Get(name), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
