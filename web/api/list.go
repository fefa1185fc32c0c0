package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxWait      = 30 // seconds
	latest       = "latest"
)

// A question is what a program asks for.
type question struct {
	workspace uuid.UUID
	after     *inbox.Position // nil: from the oldest that is kept
	read      *inbox.Position // up to here the program has dealt with all; nil: it does not say so
	limit     int
	suspect   *bool // only those that are marked so, or only the others; nil: all
	wait      time.Duration
}

// ask reads a list's parameters.
func (s *Server) ask(r *http.Request, token keyring.Token) (q question, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, withDetail(validationError, "The query can't be read.")
	}
	q.workspace = token.WorkspaceID
	if q.limit, err = number(query, "limit", defaultLimit, 1, maxLimit); err != nil {
		return q, err
	}
	seconds, err := number(query, "wait", 0, 0, maxWait)
	if err != nil {
		return q, err
	}
	q.wait = time.Duration(seconds) * time.Second
	if q.suspect, err = yesOrNo(query, "suspect"); err != nil {
		return q, err
	}
	if q.after, err = s.place(r.Context(), token.WorkspaceID, query.Get("after")); err != nil {
		return q, err
	}
	q.read, err = q.dealtWith(query)
	return q, err
}

// dealtWith is how far the program says that it is: up to the cursor that it comes
// back with, unless it asks for a page before it has dealt with the one in front of it.
func (q *question) dealtWith(query url.Values) (*inbox.Position, error) {
	if !query.Has("read") {
		return q.after, nil
	}
	cursor := query.Get("read")
	if cursor == "" {
		return nil, nil
	}
	read, err := inbox.ParseCursor(q.workspace, cursor)
	if err != nil {
		return nil, err
	}
	if q.after == nil || read.Compare(*q.after) > 0 {
		return nil, withDetail(validationError, "read is a cursor that is not behind the one in after.")
	}
	return &read, nil
}

func yesOrNo(query url.Values, name string) (*bool, error) {
	text := query.Get(name)
	switch yes := text == "true"; {
	case text == "":
		return nil, nil
	case yes || text == "false":
		return &yes, nil
	}
	return nil, withDetail(validationError, name+" is true or false.")
}

func number(query url.Values, name string, normal, least, most int) (int, error) {
	text := query.Get(name)
	if text == "" {
		return normal, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, withDetail(validationError, fmt.Sprintf("%s is a whole number from %d to %d.", name, least, most))
	}
	return n, nil
}

// place returns the position that a cursor stands for: nil for none, the end of
// what can be read for "latest".
func (s *Server) place(ctx context.Context, workspace uuid.UUID, cursor string) (*inbox.Position, error) {
	switch cursor {
	case "":
		return nil, nil
	case latest:
		newest, err := s.events.Newest(ctx, workspace)
		return &newest, err
	}
	position, err := inbox.ParseCursor(workspace, cursor)
	return &position, err
}

// listSignals answers with what is behind a cursor. If there is nothing it waits,
// as long as it is asked to, for the first that comes.
func (s *Server) listSignals(w http.ResponseWriter, r *http.Request, token keyring.Token) error {
	q, err := s.ask(r, token)
	if err != nil {
		return err
	}
	leave, err := s.places.enter(r.Context(), q.workspace)
	if err != nil {
		return err
	}
	page := newSheet(q.workspace)
	page.only = q.suspect
	end, err := s.read(r.Context(), q, page)
	if err == nil && q.read != nil { // a cursor that can't be used says nothing of what was read
		s.activity.read(token, *q.read)
	}
	if err != nil || page.end != (inbox.Position{}) || q.wait == 0 || s.isDraining() {
		defer leave()
		return s.answer(w, r, page, end, err)
	}
	page.release()
	leave() // who waits holds no page
	q.after = &end
	items, err := s.await(w, r, token, &q)
	if err != nil {
		return err
	}
	if leave, err = s.places.enter(r.Context(), q.workspace); err != nil {
		return err
	}
	defer leave()
	page = newSheet(q.workspace)
	page.take(items)
	return s.answer(w, r, page, *q.after, nil)
}

// read writes the page behind a position, and returns where it ends.
func (s *Server) read(ctx context.Context, q question, page *sheet) (inbox.Position, error) {
	end, err := s.events.Read(ctx, q.workspace, q.after, q.limit, page.add)
	if err != nil {
		return inbox.Position{}, asProblem(err, func(p inbox.Position) string { return p.Cursor(q.workspace) })
	}
	return end, nil
}

// readItems returns the page behind a position, and where it ends.
func (s *Server) readItems(ctx context.Context, q question) ([]item, inbox.Position, error) {
	page := newSheet(q.workspace)
	defer page.release()
	end, err := s.read(ctx, q, page)
	if err != nil {
		return nil, inbox.Position{}, err
	}
	return page.items(), end, nil
}

// await waits for signals behind q.after, which it moves past those that are not
// asked for. A token that stopped working meanwhile
// gets none.
func (s *Server) await(w http.ResponseWriter, r *http.Request, token keyring.Token, q *question) ([]item, error) {
	ctx, done, err := s.readers.admit(r.Context(), token, false)
	if err != nil {
		return nil, err
	}
	defer done()
	stay(w)
	ctx, cancel := context.WithTimeout(ctx, q.wait)
	defer cancel()
	f := s.hub.follow(q.workspace, *q.after)
	defer f.leave()
	for {
		items, behind, changed := f.next(*q.after)
		if behind {
			items, _, err = s.readItems(ctx, question{workspace: q.workspace, after: q.after, limit: q.limit})
			if ctx.Err() == nil && err != nil {
				return nil, err
			}
		}
		passed := q.pass(items)
		if len(passed) == 0 && len(items) > 0 {
			continue
		}
		if items = passed; len(items) > 0 {
			valid, err := s.keys.ValidTokens(r.Context(), []uuid.UUID{token.ID})
			if err == nil && !valid[token.ID] {
				err = unauthorized
			}
			return items[:min(len(items), q.limit)], err
		}
		select {
		case <-changed:
		case <-s.draining:
			return nil, nil
		case <-ctx.Done():
			return nil, ended(ctx)
		}
	}
}

// pass returns the items that are asked for, up to the limit. If none is, it moves
// past them.
func (q *question) pass(items []item) (passed []item) {
	if q.suspect == nil {
		return items
	}
	for _, item := range items {
		if wanted(q.suspect, item.suspect) {
			passed = append(passed, item)
		}
	}
	if len(passed) == 0 && len(items) > 0 {
		q.after = &items[len(items)-1].at
	}
	return passed
}

// ended is why something open ended: nil where its time was up.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); cause == errTokenEnded {
		return unauthorized
	}
	return nil
}

// answer writes a page and releases it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, page *sheet, end inbox.Position, err error) error {
	defer page.release()
	if err != nil {
		return err
	}
	text, cursor := page.finish(end)
	w.Header().Set("Keyhook-Cursor", cursor) // so that who reads much can ask on before having read all
	s.write(w, r, "application/json", http.StatusOK, text)
	return nil
}
