package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

const (
	streamPage  = 250       // signals that a stream reads at once from the database
	streamPiece = 256 << 10 // bytes that are written at once, each within StallAfter
	retryAfter  = "retry: 2000\n\n"
	noteAfter   = 5 * time.Second // what was written so long ago counts as read
)

// A stream sends one program's signals as they come.
type stream struct {
	s         *Server
	w         http.ResponseWriter
	token     keyring.Token
	workspace uuid.UUID
	suspect   *bool          // only those that are marked so, or only the others; nil: all
	at        inbox.Position // everything up to here was sent, or is not asked for
	buffer    []byte

	sentBefore inbox.Position // at the last note
	quietSince time.Time
}

// streamSignals answers with server-sent events: from Last-Event-ID on, else from
// the cursor in after, else from the oldest. It ends with an event that says why,
// unless the connection does.
func (s *Server) streamSignals(w http.ResponseWriter, r *http.Request, token keyring.Token) error {
	if s.isDraining() {
		return unavailable
	}
	cursor := r.Header.Get("Last-Event-ID")
	if cursor == "" {
		cursor = r.URL.Query().Get("after")
	}
	suspect, err := yesOrNo(r.URL.Query(), "suspect")
	if err != nil {
		return err
	}
	after, err := s.place(r.Context(), token.WorkspaceID, cursor)
	if err != nil {
		return err
	}
	ctx, done, err := s.readers.admit(r.Context(), token, true)
	if err != nil {
		return err
	}
	defer done()
	st := &stream{s: s, w: w, token: token, workspace: token.WorkspaceID, suspect: suspect, quietSince: time.Now()}
	items, err := st.first(ctx, after)
	if err != nil {
		return err
	}
	st.begin()
	if err := st.send(items); err == nil {
		st.finish(ctx, st.follow(ctx))
	}
	return nil
}

// first reads the first page, while an error can still be an answer of its own.
func (st *stream) first(ctx context.Context, after *inbox.Position) ([]item, error) {
	items, end, err := st.page(ctx, after)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		st.at = end
	}
	if after != nil {
		st.at = *after
		st.s.activity.read(st.token, *after)
	}
	st.sentBefore = st.at
	return items, nil
}

func (st *stream) page(ctx context.Context, after *inbox.Position) ([]item, inbox.Position, error) {
	leave, err := st.s.places.enter(ctx, st.workspace)
	if err != nil {
		return nil, inbox.Position{}, err
	}
	defer leave()
	return st.s.readItems(ctx, question{workspace: st.workspace, after: after, limit: streamPage})
}

func (st *stream) begin() {
	stay(st.w)
	h := st.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx, pass it on at once
	st.w.WriteHeader(http.StatusOK)
	st.buffer = append(st.buffer, retryAfter...)
}

// follow sends what comes until something ends the stream. A reader that is not as
// fast as the signals reads from the database, at its own pace.
func (st *stream) follow(ctx context.Context) error {
	f := st.s.hub.follow(st.workspace, st.at)
	defer func() { f.leave() }()
	beat := time.NewTicker(min(st.s.config.Heartbeat, noteAfter))
	defer beat.Stop()
	for {
		items, behind, changed := f.next(st.at)
		if behind {
			at, err := st.at, error(nil)
			if items, _, err = st.page(ctx, &at); err != nil {
				return err
			}
			if f.lost() {
				f.leave()
				f = st.s.hub.follow(st.workspace, st.at)
			}
		}
		if len(items) > 0 {
			if err := st.send(items); err != nil {
				return err
			}
			if ctx.Err() == nil && !st.s.isDraining() {
				st.note(beat)
				continue
			}
		}
		select {
		case <-changed:
		case <-beat.C:
			if err := st.rest(); err != nil {
				return err
			}
		case <-st.s.draining:
			return errDraining
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// note lets the heart beat where there is never time to rest.
func (st *stream) note(beat *time.Ticker) {
	select {
	case <-beat.C:
		st.acknowledge()
	default:
	}
}

// rest is what a beat does: it notes how far the reader is, and gives a sign of
// life where nothing else was sent for a while.
func (st *stream) rest() error {
	st.acknowledge()
	if time.Since(st.quietSince) < st.s.config.Heartbeat {
		return st.flush()
	}
	st.buffer = append(st.buffer, ": still here\n\n"...)
	return st.flush()
}

// acknowledge takes as read what was sent before the last beat: it has left us
// long ago, and a reader that lost it comes back with the place that it has.
func (st *stream) acknowledge() {
	if st.sentBefore != (inbox.Position{}) {
		st.s.activity.read(st.token, st.sentBefore)
	}
	st.sentBefore = st.at
}

// send writes signals as events, each with its cursor as id.
func (st *stream) send(items []item) error {
	for _, item := range items {
		if st.at = item.at; !wanted(st.suspect, item.suspect) {
			continue
		}
		st.buffer = append(st.buffer, "id: "...)
		st.buffer = append(st.buffer, item.at.Cursor(st.workspace)...)
		st.buffer = append(st.buffer, "\nevent: signal\ndata: "...)
		st.buffer = append(st.buffer, item.json...)
		st.buffer = append(st.buffer, "\n\n"...)
		if len(st.buffer) > streamPiece {
			if err := st.flush(); err != nil {
				return err
			}
		}
	}
	return st.flush()
}

// flush hands on what is in the buffer, or fails where the reader takes nothing.
func (st *stream) flush() error {
	for rest := st.buffer; len(rest) > 0; {
		piece := rest[:min(len(rest), streamPiece)]
		rest = rest[len(piece):]
		deadline(st.w, st.s.config.StallAfter)
		if _, err := st.w.Write(piece); err != nil {
			return errStalled
		}
		if err := http.NewResponseController(st.w).Flush(); err != nil {
			return errStalled
		}
		st.quietSince = time.Now()
	}
	if cap(st.buffer) > 2*streamPiece {
		st.buffer = nil
	}
	st.buffer = st.buffer[:0]
	return nil
}

var (
	errDraining = withDetail(unavailable, "This instance is stopping. Connect again.")
	errStalled  = withDetail(unavailable, "The reader took nothing for too long.")
)

// finish tells the reader why the stream ends, if it can still be told. One that
// took nothing for too long is cut off: it sees that its stream has no end.
func (st *stream) finish(ctx context.Context, why error) {
	if why == error(errStalled) {
		st.s.log.InfoContext(ctx, "a stream was cut: its reader took nothing", "token", st.token.ID, "after", st.s.config.StallAfter)
		panic(http.ErrAbortHandler)
	}
	if why == errTokenEnded {
		why = unauthorized
	}
	p, oldest, known := problemOf(why)
	if !known && ctx.Err() == nil {
		st.s.log.ErrorContext(ctx, "a stream failed", "token", st.token.ID, "err", why)
	}
	text, err := json.Marshal(map[string]any{"code": p.code, "status": p.status, "detail": p.detail, "oldestCursor": oldest})
	if err != nil {
		panic(err) // only for types that are not ours
	}
	st.buffer = append(append(append(st.buffer[:0], "event: end\ndata: "...), text...), "\n\n"...)
	_ = st.flush() // perhaps nobody is left to tell
}
