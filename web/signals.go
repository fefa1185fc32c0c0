package web

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

const (
	signalsOnPage = 50
	maxShownBody  = 64 << 10
	warnAhead     = 7 * 24 * time.Hour // that signals will go unread
	heldTooLong   = 2 * time.Second    // less is how it always is
)

// showSignals lists what arrived, and who has read how far. Which part is in the
// address, so that it can be kept and shared.
func (s *Server) showSignals(w http.ResponseWriter, r *http.Request, m account.Member) error {
	frame, err := s.page(w, r, m, "Signals")
	if err != nil {
		return err
	}
	page := views.SignalsPage{
		Page: frame, SeesPayloads: m.Can(account.ViewPayloads),
		Retention: views.Retention{Keep: m.Workspace.KeepSignalsDays, Unread: m.Workspace.KeepUnreadDays},
	}
	keys, err := s.keys.List(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	if err := s.listSignals(r, m, keys, &page); err != nil {
		return err
	}
	tokens, err := s.keys.Tokens(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	if page.Readers, err = s.readersOf(r, m, tokens); err != nil {
		return err
	}
	held, err := s.events.HeldBack(r.Context(), m.Workspace.ID)
	if err != nil {
		return err
	}
	if held.Signals > 0 && frame.Now.Sub(held.Since) > heldTooLong {
		page.Held, page.HeldSince = held.Signals, held.Since
	}
	return render(w, r, http.StatusOK, views.Signals(page))
}

// listSignals fills in the part of the list that the address asks for.
func (s *Server) listSignals(r *http.Request, m account.Member, keys []keyring.Key, page *views.SignalsPage) error {
	query := r.URL.Query()
	names := map[uuid.UUID]string{}
	for _, key := range keys {
		names[key.ID] = key.Name
		page.Keys = append(page.Keys, views.Option{Value: key.ID.String(), Label: key.Name})
	}
	window := inbox.Window{Key: idIn(query, "key"), Before: idIn(query, "before"), After: idIn(query, "after"), Limit: signalsOnPage + 1, Payloads: page.SeesPayloads, Suspect: query.Get("suspect") == "true"}
	page.Suspect = window.Suspect
	if window.Key != nil && names[*window.Key] != "" {
		page.Key = window.Key.String()
	} else {
		window.Key = nil
	}
	if window.Before != nil {
		window.After = nil
	}
	signals, err := s.events.List(r.Context(), m.Workspace.ID, window)
	if err != nil {
		return err
	}
	more := len(signals) > signalsOnPage
	if more && window.After != nil {
		signals = signals[1:]
	}
	signals = signals[:min(len(signals), signalsOnPage)]
	for _, signal := range signals {
		page.Rows = append(page.Rows, signalRow(signal, names))
	}
	if len(signals) > 0 {
		if more || window.After != nil {
			page.Older = signalsPath(m, page, "before", signals[len(signals)-1].ID)
		}
		if window.Before != nil || more && window.After != nil {
			page.Newer = signalsPath(m, page, "after", signals[0].ID)
		}
	}
	return nil
}

func idIn(query url.Values, name string) *uuid.UUID {
	id, err := uuid.Parse(query.Get(name))
	if err != nil {
		return nil
	}
	return &id
}

func signalsPath(m account.Member, page *views.SignalsPage, direction string, id uuid.UUID) string {
	query := url.Values{direction: {id.String()}}
	if page.Key != "" {
		query.Set("key", page.Key)
	}
	if page.Suspect {
		query.Set("suspect", "true")
	}
	return "/w/" + m.Workspace.Slug + "/signals?" + query.Encode()
}

func signalRow(signal inbox.Listed, names map[uuid.UUID]string) views.SignalRow {
	row := views.SignalRow{
		ID: signal.ID.String(), At: signal.ReceivedAt.UTC(), EventType: signal.EventType, Source: signal.Source, Size: signal.BodySize,
		Preview: previewOf(signal.Preview, signal.BodySize), Suspect: signal.Suspect, Erased: signal.Erased,
	}
	if signal.SourceRef != nil {
		row.SourceRef = *signal.SourceRef
	}
	if signal.KeyID != nil {
		row.KeyID, row.KeyName = signal.KeyID.String(), names[*signal.KeyID]
	}
	return row
}

// previewOf is the beginning of a body on one line; of one that is no text, a word.
func previewOf(body []byte, size int64) string {
	text, binary := textOf(body, size > int64(len(body)))
	if binary {
		return "(binary)"
	}
	return views.VisibleText(strings.Join(strings.Fields(text), " "))
}

// textOf returns a body as text, unless it is none. A body that was cut may end
// inside a character.
func textOf(body []byte, cut bool) (text string, binary bool) {
	for n := 0; cut && n < utf8.UTFMax && !utf8.Valid(body) && len(body) > 0; n++ {
		body = body[:len(body)-1]
	}
	return string(body), !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0
}

// readersOf tells how far those tokens have read that have, the slowest first.
func (s *Server) readersOf(r *http.Request, m account.Member, tokens []keyring.Token) (rows []views.ReaderRow, err error) {
	readers, err := s.events.Readers(r.Context(), m.Workspace.ID)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	unread := time.Duration(m.Workspace.KeepUnreadDays) * 24 * time.Hour
	for _, reader := range readers {
		i := slices.IndexFunc(tokens, func(t keyring.Token) bool { return t.ID == reader.TokenID })
		if i < 0 {
			continue
		}
		row := views.ReaderRow{
			TokenID: reader.TokenID.String(), Name: tokens[i].Name, Waits: tokens[i].Reads(now), ReadAt: reader.ReadAt, ReadUntil: reader.ReadUntil,
			Behind: reader.Behind, OldestUnread: reader.OldestUnread,
		}
		if reader.OldestUnread != nil {
			if goes := reader.OldestUnread.Add(unread); goes.Sub(now) < warnAhead {
				row.GoesOn = &goes
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// signalID returns the id in the path. What can't be one is not there.
func signalID(r *http.Request) uuid.UUID {
	id, err := uuid.Parse(r.PathValue("signal"))
	if err != nil {
		return uuid.Nil
	}
	return id
}

// showSignal tells all about a signal. Its body is for those who may see it, and
// that they saw it is recorded.
func (s *Server) showSignal(w http.ResponseWriter, r *http.Request, m account.Member) error {
	var signal inbox.Signal
	var err error
	sees := m.Can(account.ViewPayloads)
	if sees {
		signal, err = s.events.Open(r.Context(), s.actor(r, m), signalID(r))
	} else {
		signal, err = s.events.Describe(r.Context(), m.Workspace.ID, signalID(r))
	}
	if err != nil {
		return err
	}
	frame, err := s.page(w, r, m, "Signal")
	if err != nil {
		return err
	}
	page := signalPage(signal)
	page.Page, page.SeesPayload = frame, sees
	if signal.KeyID != nil {
		key, err := s.keys.Find(r.Context(), m.Workspace.ID, *signal.KeyID)
		if f, ok := fault.Of(err); err != nil && (!ok || f.Kind != fault.NotFound) {
			return err
		}
		page.KeyID, page.KeyName = signal.KeyID.String(), key.Name
		if sees && signal.BodyGone() {
			page.NotKept = views.NotKept(key.Log)
		}
	}
	return render(w, r, http.StatusOK, views.Signal(page))
}

func signalPage(signal inbox.Signal) views.SignalPage {
	page := views.SignalPage{
		ID: signal.ID.String(), Source: signal.Source, EventType: signal.EventType, Method: string(signal.Method), ReceivedAt: signal.ReceivedAt,
		ContentType: signal.ContentType, SHA256: hex.EncodeToString(signal.SHA256), Size: signal.BodySize,
	}
	if signal.SourceRef != nil {
		page.SourceRef = *signal.SourceRef
	}
	if signal.Suspect != nil {
		page.Suspect = &views.Note{Reason: signal.Suspect.Reason, At: signal.Suspect.MarkedAt, By: signal.Suspect.MarkedBy}
	}
	if signal.Erased != nil {
		page.Erased = &views.Note{Reason: signal.Erased.Reason, At: signal.Erased.ErasedAt, By: signal.Erased.ErasedBy}
	}
	if signal.Generation != nil {
		page.Generation = *signal.Generation
	}
	var headers map[string]string
	if json.Unmarshal([]byte(signal.Headers), &headers) == nil {
		for name, value := range headers {
			page.Headers = append(page.Headers, views.Header{Name: name, Value: value})
		}
		slices.SortFunc(page.Headers, func(a, b views.Header) int { return strings.Compare(a.Name, b.Name) })
	}
	body := signal.Body
	if page.Cut = len(body) > maxShownBody; page.Cut {
		body = body[:maxShownBody]
	}
	text, binary := textOf(body, page.Cut)
	if page.Binary = binary; !binary {
		page.Body = views.VisibleText(pretty(text))
	}
	return page
}

// pretty indents a text that is JSON.
func pretty(text string) string {
	var indented bytes.Buffer
	if json.Indent(&indented, []byte(text), "", "  ") != nil || indented.Len() > 4*maxShownBody {
		return text
	}
	return indented.String()
}

// downloadBody hands out a signal's bytes, as a file that no browser would run.
func (s *Server) downloadBody(w http.ResponseWriter, r *http.Request, m account.Member) error {
	signal, err := s.events.Open(r.Context(), s.actor(r, m), signalID(r))
	if err != nil {
		return err
	}
	if signal.Erased != nil {
		return fault.New(fault.NotFound, "The body of this signal was erased. Its page says when and why.")
	}
	if signal.BodyGone() {
		return fault.New(fault.NotFound, "The body of this signal is not kept. Its page says why.")
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+signal.ID.String()+`.bin"`)
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Content-Length", strconv.Itoa(len(signal.Body)))
	w.Write(signal.Body) // perhaps nobody is left to take it
	return nil
}
