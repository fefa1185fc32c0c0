package web

import (
	"cmp"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/inbox"
	"keyhook/internal/signature"
	"keyhook/views"
)

const deliveriesOnPage = 50

// A logView is what one request for the log is about.
type logView struct {
	member        account.Member
	filter        deliveryFilter
	before, after uuid.UUID // where the page begins; Nil: at the newest
	now           time.Time
	zone          *time.Location       // in which the reader writes and reads times
	names         map[uuid.UUID]string // of the workspace's keys
	options       []views.Option
}

func (s *Server) logView(r *http.Request, m account.Member) (v logView, err error) {
	query := r.URL.Query()
	v = logView{member: m, now: time.Now().UTC(), names: map[uuid.UUID]string{}}
	v.zone = views.Zone(r.Context())
	v.filter = deliveryFilterIn(query, v.now)
	v.filter.SeesBodies = m.Can(account.ViewPayloads)
	v.before, _ = uuid.Parse(query.Get("before"))
	if v.before == uuid.Nil {
		v.after, _ = uuid.Parse(query.Get("after"))
	}
	keys, err := s.keys.List(r.Context(), m.Workspace.ID)
	for _, key := range keys {
		v.names[key.ID] = key.Name
		v.options = append(v.options, views.Option{Value: key.ID.String(), Label: key.Name})
	}
	if v.filter.Key != uuid.Nil && v.names[v.filter.Key] == "" {
		v.filter.Wrong["key"] = "There is no key with that id."
	}
	return v, err
}

// base is the path of the workspace's log.
func (v logView) base() string { return "/w/" + v.member.Workspace.Slug + "/deliveries" }

// list is the address of the list with other values in the filter; a page begins
// anew where they are other ones.
func (v logView) list(other map[string]string) string {
	if query := v.filter.Query(other); query != "" {
		return v.base() + "?" + query
	}
	return v.base()
}

// part is the address of something else about what the filter means.
func (v logView) part(name string, more map[string]string) string {
	if query := v.filter.Query(more); query != "" {
		return v.base() + name + "?" + query
	}
	return v.base() + name
}

// here are the filter and the page as they stand in the address.
func (v logView) here() string {
	other := map[string]string{}
	if v.before != uuid.Nil {
		other["before"] = v.before.String()
	}
	if v.after != uuid.Nil {
		other["after"] = v.after.String()
	}
	if query := v.filter.Query(other); query != "" {
		return "?" + query
	}
	return ""
}

// one is the address of one request, with the list beside it, or of a part of it.
func (v logView) one(id uuid.UUID, part string) string {
	return v.base() + "/" + id.String() + part + v.here()
}

func (s *Server) showLog(w http.ResponseWriter, r *http.Request, m account.Member) error {
	v, err := s.logView(r, m)
	if err != nil {
		return err
	}
	page, err := s.logPage(w, r, v, "Deliveries")
	if err != nil {
		return err
	}
	if page.Tail.Live {
		w.Header().Set("Refresh", "5") // without script; tail.js leaves this address
	}
	return render(w, r, logStatus(v), views.Deliveries(page))
}

// logStatus tells a program that a part of the filter could not be understood.
func logStatus(v logView) int {
	if len(v.filter.Wrong) > 0 {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

// logPage fills in the list. A filter with something wrong in it shows nothing:
// what it would show is not what was asked for.
func (s *Server) logPage(w http.ResponseWriter, r *http.Request, v logView, title string) (views.DeliveriesPage, error) {
	frame, err := s.page(w, r, v.member, title)
	page := views.DeliveriesPage{Page: frame, Filter: v.fields(), Any: len(v.names) > 0, KeptDays: v.member.Workspace.KeepDeliveriesDays, Clear: v.base(), Tail: v.tail(r)}
	if page.Filter.Range != "" {
		page.Wider = v.list(anyTime)
	}
	if err != nil || len(v.filter.Wrong) > 0 {
		return page, err
	}
	found, err := s.events.Deliveries(r.Context(), v.member.Workspace.ID, inbox.Search{
		DeliveryFilter: v.filter.DeliveryFilter, Before: v.before, After: v.after, Limit: deliveriesOnPage,
	})
	if err != nil {
		return page, err
	}
	for _, d := range found.Deliveries {
		page.Rows = append(page.Rows, v.row(d))
	}
	v.turn(found, &page)
	page.Chart, err = s.logChart(r, v)
	return page, err
}

// turn fills in where the list goes on.
func (v logView) turn(found inbox.Found, page *views.DeliveriesPage) {
	older, newer := found.More, v.before != uuid.Nil
	if v.after != uuid.Nil {
		older, newer = true, found.More
	}
	if n := len(found.Deliveries); n > 0 {
		if older {
			page.Older = v.list(map[string]string{"before": found.Deliveries[n-1].ID.String()})
		}
		if newer {
			page.Newer = v.list(map[string]string{"after": found.Deliveries[0].ID.String()})
		}
	} else if v.before != uuid.Nil || v.after != uuid.Nil { // a page behind the end
		page.Newer, page.Older = v.list(nil), ""
	}
	if found.Stopped != uuid.Nil {
		direction := "before"
		if page.GoOnNewer = v.after != uuid.Nil; page.GoOnNewer {
			direction = "after"
		}
		page.Stopped, page.GoOn = timeOf(found.Stopped), v.list(map[string]string{direction: found.Stopped.String()})
	}
}

// timeOf is the time that a request's id begins with.
func timeOf(id uuid.UUID) time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}

func (v logView) row(d inbox.Delivery) views.LogRow {
	row := views.LogRow{DeliveryRow: deliveryRow(d), Href: v.one(d.ID, ""), Part: v.one(d.ID, "/drawer"), Hint: hintOf(d)}
	if d.KeyID != nil {
		row.KeyName = v.names[*d.KeyID]
	}
	return row
}

// hintOf says in a few words what was noticed of a request.
func hintOf(d inbox.Delivery) string {
	switch {
	case d.Outcome == inbox.Refused:
		return shortReason(d.Reason)
	case d.SignalID == nil && d.Outcome == inbox.Accepted:
		return "Handshake"
	case d.Conflict == "body":
		return "Other body than before"
	case d.Conflict == "key":
		return "Through another key"
	case d.SameBodyAs != nil:
		return "Same body as before"
	}
	return ""
}

var anyTime = map[string]string{"range": "", "from": "", "until": "", "zone": ""}

// fields are the filter's fields as the page shows them.
func (v logView) fields() views.DeliveryFilter {
	f := views.DeliveryFilter{
		Typed: v.filter.TypedIn(v.zone), Wrong: v.filter.Wrong, Keys: v.options, Reasons: reasonOptions(), Bodies: v.filter.SeesBodies,
		Range: v.filter.InWords(v.zone), NoRange: v.list(anyTime), Chips: v.chips(), Folded: true,
	}
	for _, scheme := range signature.All() {
		f.Schemes = append(f.Schemes, views.Option{Value: scheme.Name, Label: scheme.Title})
	}
	for _, method := range inbox.Methods() {
		f.Methods = append(f.Methods, views.Option{Value: method, Label: cmp.Or(methodShort[inbox.Method(method)], "none")})
	}
	for _, name := range []string{"from", "until", "scheme", "auth", "generation", "address", "source"} {
		f.Folded = f.Folded && v.filter.Typed(name) == ""
	}
	for _, o := range []views.Option{{Value: "", Label: "All"}, {Value: "accepted", Label: "Accepted"}, {Value: "duplicate", Label: "Duplicate"}, {Value: "refused", Label: "Refused"}} {
		f.Outcome = append(f.Outcome, views.FilterLink{Label: o.Label, Href: v.list(map[string]string{"outcome": o.Value}), Current: v.filter.Typed("outcome") == o.Value})
	}
	return f
}

var filterLabels = map[string]string{
	"key": "Key", "outcome": "Outcome", "reason": "Reason", "scheme": "Scheme", "auth": "Proof", "generation": "Generation", "address": "Address",
	"source": "Source", "ref": "Source ref", "q": "Text",
}

// chips are the parts of the filter but for the time.
func (v logView) chips() (chips []views.Chip) {
	for _, name := range filterFields {
		value := v.filter.Typed(name)
		if value == "" || filterLabels[name] == "" || v.filter.Wrong[name] != "" && name != "outcome" {
			continue
		}
		switch name {
		case "key":
			value = v.names[v.filter.Key]
		case "reason":
			value = shortReason(inbox.Reason(value))
		case "auth":
			value = cmp.Or(methodShort[inbox.Method(value)], value)
		case "scheme":
			value = schemeInfo(value).Title
		}
		chips = append(chips, views.Chip{Label: filterLabels[name], Value: value, Without: v.list(map[string]string{name: ""})})
	}
	return chips
}

// lookUp leads to the request with an id, wherever it may be.
func (s *Server) lookUp(w http.ResponseWriter, r *http.Request, m account.Member) error {
	v, err := s.logView(r, m)
	if err != nil {
		return err
	}
	text := r.URL.Query().Get("id")
	if id, err := uuid.Parse(text); err == nil {
		return redirect(w, r, v.base()+"/"+url.PathEscape(id.String()))
	}
	if text == "" {
		return redirect(w, r, v.base())
	}
	page, err := s.logPage(w, r, v, "Deliveries")
	if err != nil {
		return err
	}
	page.LookUp = text[:min(len(text), maxFilterText)]
	return render(w, r, http.StatusUnprocessableEntity, views.Deliveries(page))
}
