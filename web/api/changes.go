package api

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// maxIDs is how many ids of a mark's signals an answer has at most.
const maxIDs = 10_000

// idAfter reads the id behind which to go on; uuid.Nil is the beginning.
func idAfter(query url.Values) (uuid.UUID, error) {
	text := query.Get("after")
	if text == "" {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text {
		return uuid.Nil, withDetail(invalidCursor, "The cursor is not one that this list has given out. Read it again from its beginning.")
	}
	return id, nil
}

// listChanges answers with what became of signals after they could be read: marks
// that were made and taken back, payloads that were erased.
func (s *Server) listChanges(w http.ResponseWriter, r *http.Request, token keyring.Token) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return withDetail(validationError, "The query can't be read.")
	}
	limit, err := number(query, "limit", defaultLimit, 1, maxLimit)
	if err != nil {
		return err
	}
	after, err := idAfter(query)
	if err != nil {
		return err
	}
	changes, err := s.events.Changes(r.Context(), token.WorkspaceID, after, limit)
	if err != nil {
		return err
	}
	text, cursor := append([]byte(nil), `{"changes":[`...), query.Get("after")
	for i, change := range changes {
		if i > 0 {
			text = append(text, ',')
		}
		text, cursor = appendChange(text, change), change.ID.String()
	}
	s.write(w, r, "application/json", http.StatusOK, append(appendText(append(text, `],"cursor":`...), cursor), '}'))
	return nil
}

func appendChange(b []byte, c inbox.Change) []byte {
	b = appendID(append(b, `{"cursor":`...), &c.ID)
	b = appendMember(b, "change", string(c.Kind))
	b = appendTime(append(b, `,"changedAt":`...), c.At)
	if c.Mark == nil {
		b = appendID(append(b, `,"mark":null,"erasure":{"id":`...), &c.Erasure.ID)
		b = appendMember(b, "source", c.Erasure.Source)
		b = appendMember(b, "sourceRef", c.Erasure.SourceRef)
		return append(appendMember(b, "reason", c.Erasure.Reason), `}}`...)
	}
	m := c.Mark
	b = appendID(append(b, `,"erasure":null,"mark":{"id":`...), &m.ID)
	b = appendID(append(b, `,"key":`...), &m.KeyID)
	b = appendMember(b, "address", m.Address)
	b = append(b, `,"generation":`...)
	if m.Generation == nil {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, int64(*m.Generation), 10)
	}
	b = appendTime(append(b, `,"from":`...), m.From)
	b = appendTime(append(b, `,"until":`...), m.Until)
	return append(appendMember(b, "reason", m.Reason), `}}`...)
}

func appendTime(b []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(b, '"'), timeFormat), '"')
}

// listMarked answers with the ids of the signals that a mark is about, in their
// order. A mark that was taken back has them too: they are what to forgive.
func (s *Server) listMarked(w http.ResponseWriter, r *http.Request, token keyring.Token) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return withDetail(validationError, "The query can't be read.")
	}
	limit, err := number(query, "limit", maxLimit, 1, maxIDs)
	if err != nil {
		return err
	}
	after, err := idAfter(query)
	if err != nil {
		return err
	}
	mark, err := uuid.Parse(r.PathValue("mark"))
	if err != nil || mark.String() != r.PathValue("mark") {
		return notFound
	}
	ids, err := s.events.MarkedSignals(r.Context(), token.WorkspaceID, mark, after, limit)
	if err != nil {
		return err
	}
	text, cursor := append([]byte(nil), `{"ids":[`...), query.Get("after")
	for i := range ids {
		if i > 0 {
			text = append(text, ',')
		}
		text, cursor = appendID(text, &ids[i]), ids[i].String()
	}
	s.write(w, r, "application/json", http.StatusOK, append(appendText(append(text, `],"cursor":`...), cursor), '}'))
	return nil
}
