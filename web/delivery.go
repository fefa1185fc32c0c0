package web

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/views"
)

// requestOf returns the id in the path. What can't be one is nobody's.
func requestOf(r *http.Request) uuid.UUID {
	id, err := uuid.Parse(r.PathValue("request"))
	if err != nil {
		return uuid.Nil
	}
	return id
}

// showDelivery shows one request beside the list. Of one that is not this
// workspace's, only its time and status may be told.
func (s *Server) showDelivery(w http.ResponseWriter, r *http.Request, m account.Member) error {
	v, err := s.logView(r, m)
	if err != nil {
		return err
	}
	drawer, err := s.drawer(r, v)
	if f, ok := fault.Of(err); err != nil && ok && f.Kind == fault.NotFound {
		return s.showElsewhere(w, r, m, err)
	}
	if err != nil {
		return err
	}
	page, err := s.logPage(w, r, v, "Delivery")
	if err != nil {
		return err
	}
	page.Drawer = &drawer
	for i := range page.Rows {
		page.Rows[i].Current = page.Rows[i].ID == drawer.ID
	}
	return render(w, r, http.StatusOK, views.Deliveries(page))
}

// showElsewhere answers for a request that is another workspace's or nobody's, both
// alike. missing is what is said where nothing was recorded.
func (s *Server) showElsewhere(w http.ResponseWriter, r *http.Request, m account.Member, missing error) error {
	id := requestOf(r)
	status, found, err := s.events.StatusOf(r.Context(), id)
	if err != nil {
		return err
	}
	if !found {
		return missing
	}
	frame, err := s.page(w, r, m, "A request")
	if err != nil {
		return err
	}
	return render(w, r, http.StatusNotFound, views.Elsewhere(views.ElsewherePage{Page: frame, ID: id.String(), At: timeOf(id), Status: status}))
}

// showDrawer shows one request alone, to be put beside a list that is there.
func (s *Server) showDrawer(w http.ResponseWriter, r *http.Request, m account.Member) error {
	v, err := s.logView(r, m)
	if err != nil {
		return err
	}
	drawer, err := s.drawer(r, v)
	if err != nil {
		return err
	}
	return render(w, r, http.StatusOK, views.Drawer(drawer))
}

// drawer tells all about a request. Its body is for those who may see it, and that
// they saw it is recorded.
func (s *Server) drawer(r *http.Request, v logView) (views.DeliveryDrawer, error) {
	var d inbox.Detail
	var err error
	sees := v.member.Can(account.ViewPayloads)
	if sees {
		d, err = s.events.OpenDelivery(r.Context(), s.actor(r, v.member), requestOf(r))
	} else {
		d, err = s.events.Delivery(r.Context(), v.member.Workspace.ID, requestOf(r))
	}
	if err != nil {
		return views.DeliveryDrawer{}, err
	}
	drawer := v.describe(d)
	drawer.Nonce, drawer.SeesPayload = nonce(r), sees
	if drawer.NotKept, err = s.whyNotKept(r, d); err != nil {
		return views.DeliveryDrawer{}, err
	}
	return drawer, s.beside(r, v, d.ID, &drawer)
}

// whyNotKept says why a request's body is not there.
func (s *Server) whyNotKept(r *http.Request, d inbox.Detail) (string, error) {
	switch {
	case d.HasBody || d.BodySize == 0:
		return "", nil
	case d.KeyID == nil || d.WorkspaceID == nil:
		return views.NotKept(""), nil
	}
	key, err := s.keys.Find(r.Context(), *d.WorkspaceID, *d.KeyID)
	if f, known := fault.Of(err); err != nil && (!known || f.Kind != fault.NotFound) {
		return "", err
	}
	if d.Outcome == inbox.Refused && key.Log != "headers" && key.Log != "nothing" {
		return "Not kept: bodies of refused requests go after 7 days, and only so many are kept in a minute.", nil
	}
	return views.NotKept(key.Log), nil
}

// beside fills in the next request of the list in each direction.
func (s *Server) beside(r *http.Request, v logView, id uuid.UUID, drawer *views.DeliveryDrawer) error {
	if len(v.filter.Wrong) > 0 {
		return nil
	}
	next := func(search inbox.Search) (href, part string, err error) {
		search.DeliveryFilter, search.Limit = v.filter.DeliveryFilter, 1
		found, err := s.events.Deliveries(r.Context(), v.member.Workspace.ID, search)
		if err != nil || len(found.Deliveries) == 0 {
			return "", "", err
		}
		return v.one(found.Deliveries[0].ID, ""), v.one(found.Deliveries[0].ID, "/drawer"), nil
	}
	var err error
	if drawer.Newer, drawer.NewerPart, err = next(inbox.Search{After: id}); err != nil {
		return err
	}
	drawer.Older, drawer.OlderPart, err = next(inbox.Search{Before: id})
	return err
}

// describe is what a page shows of a request.
func (v logView) describe(d inbox.Detail) views.DeliveryDrawer {
	drawer := views.DeliveryDrawer{
		DeliveryRow: deliveryRow(d.Delivery), Base: v.base(), KeysBase: keysPath(v.member), Close: v.base() + v.here() + "#delivery-" + d.ID.String(),
		Status: d.Status, Source: d.Source, Method: string(d.Method), Endpoint: d.Endpoint, UserAgent: d.UserAgent, ContentType: d.ContentType,
		Short: hintOf(d.Delivery), Headers: headersOf(d.Headers), SHA256: hex.EncodeToString(d.BodySHA256), MoreRelated: d.More, HasBody: d.HasBody,
		Part: d.BodyIsPart, Signature: endOfSignature(d.Signature),
	}
	if d.KeyID != nil {
		drawer.KeyID, drawer.KeyName = d.KeyID.String(), v.names[*d.KeyID]
	}
	if d.Scheme != "" {
		drawer.Scheme = schemeInfo(d.Scheme).Title
	}
	if d.Generation != nil {
		drawer.Generation = *d.Generation
	}
	if d.SignalID != nil {
		drawer.SignalHref = "/w/" + v.member.Workspace.Slug + "/signals/" + d.SignalID.String()
	}
	note := ""
	if drawer.Signature != "" && d.Reason == inbox.SignatureWrong {
		note = "got " + drawer.Signature
	}
	drawer.Trace = traceOf(d.Delivery, drawer.KeyName, note)
	if d.Outcome == inbox.Refused {
		drawer.Text = cmp.Or(explain(string(d.Reason), d.Reason.Explain(), d.Scheme), "It was refused as "+string(d.Reason)+".")
	} else if drawer.Reason != "" && d.SameBodyAs == nil {
		drawer.Notes = append(drawer.Notes, drawer.Reason)
	}
	if d.Erased != nil {
		drawer.Erased = &views.Note{Reason: d.Erased.Reason, By: d.Erased.ErasedBy, At: d.Erased.ErasedAt}
	}
	v.relate(d, &drawer)
	showBody(d.Body, &drawer)
	return drawer
}

// relate lists the requests that belong to one.
func (v logView) relate(d inbox.Detail, drawer *views.DeliveryDrawer) {
	link := func(other inbox.Delivery) views.RelatedDelivery {
		return views.RelatedDelivery{ID: other.ID.String(), Href: v.base() + "/" + other.ID.String(), At: other.ReceivedAt.UTC()}
	}
	if d.Original != nil {
		original := link(*d.Original)
		drawer.Original = &original
	}
	if d.SameBodyAs != nil {
		drawer.SameAs = &views.RelatedDelivery{ID: d.SameBodyAs.String(), Href: v.base() + "/" + d.SameBodyAs.String()}
	}
	for _, other := range d.Repeats {
		drawer.Repeats = append(drawer.Repeats, link(other))
	}
	for _, other := range d.SameBody {
		drawer.SameBody = append(drawer.SameBody, link(other))
	}
}

// headersOf are kept headers in the order of their names.
func headersOf(text string) (headers []views.Header) {
	var values map[string]string
	if json.Unmarshal([]byte(text), &values) != nil {
		return nil
	}
	for name, value := range values {
		headers = append(headers, views.Header{Name: name, Value: value})
	}
	slices.SortFunc(headers, func(a, b views.Header) int { return strings.Compare(a.Name, b.Name) })
	return headers
}

// shownOfSignature is how much of a presented signature is shown, from its end; of
// a short one nothing is.
const shownOfSignature = 4

func endOfSignature(signature string) string {
	if len(signature) < 4*shownOfSignature {
		return ""
	}
	return "…" + strings.ToValidUTF8(signature[len(signature)-shownOfSignature:], "")
}

func showBody(body []byte, drawer *views.DeliveryDrawer) {
	if drawer.Cut = len(body) > maxShownBody; drawer.Cut {
		body = body[:maxShownBody]
	}
	text, binary := textOf(body, drawer.Cut || drawer.Part)
	if drawer.Binary = binary; binary {
		return
	}
	drawer.Body = views.VisibleText(pretty(text))
	if raw := views.VisibleText(text); raw != drawer.Body {
		drawer.Raw = raw
	}
}

// downloadDelivery hands out what is kept of a request's body, as a file that no
// browser would run.
func (s *Server) downloadDelivery(w http.ResponseWriter, r *http.Request, m account.Member) error {
	d, err := s.events.OpenDelivery(r.Context(), s.actor(r, m), requestOf(r))
	if err != nil {
		return err
	}
	if !d.HasBody {
		return fault.New(fault.NotFound, "There is no such request.")
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", `attachment; filename="`+d.ID.String()+`.bin"`)
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Content-Length", strconv.Itoa(len(d.Body)))
	w.Write(d.Body) // perhaps nobody is left to take it
	return nil
}
