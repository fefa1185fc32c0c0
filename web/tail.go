package web

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/views"
)

const (
	tailStall = 10 * time.Second // how long a page may take nothing
	tailBeat  = 15 * time.Second // between signs of life
	tailCheck = 5 * time.Second  // how soon a tail ends once its reader may not see it any more
)

// A tailStream sends one page what comes.
type tailStream struct {
	s    *Server
	w    http.ResponseWriter
	r    *http.Request
	view logView
	lost int // checks in a row that could not be made
}

// tailDeliveries sends the deliveries that the filter in the address means as they
// come, as server-sent events: pieces of the list's table, with the newest row's id.
// What a page may have already, behind after= or Last-Event-ID, can come again: it
// knows its rows by their ids.
func (s *Server) tailDeliveries(w http.ResponseWriter, r *http.Request, m account.Member) error {
	view, err := s.logView(r, m)
	if err != nil {
		return err
	}
	for field, wrong := range view.filter.Wrong {
		return fault.On(field, fault.Invalid, wrong)
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return nil
	}
	if s.isDraining() {
		return errStopping
	}
	f, err := s.tails.follow(view)
	if err != nil {
		return err
	}
	defer f.leave()
	st := &tailStream{s: s, w: w, r: r, view: view}
	first, err := st.missed(f)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx, pass it on at once
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if st.write([]byte("retry: 2000\n\n")) == nil && st.batch(first) == nil {
		st.follow(f)
	}
	return nil
}

// missed is what came since the page was made, or since the stream was cut.
func (st *tailStream) missed(f *tailFollower) (b tailBatch, err error) {
	after, err := uuid.Parse(st.r.Header.Get("Last-Event-ID"))
	if err != nil {
		if after, err = uuid.Parse(st.r.URL.Query().Get("after")); err != nil {
			return tailBatch{}, nil
		}
	}
	since := timeOf(after)
	if now := time.Now(); since.After(now) {
		since = now
	}
	rows, err := st.s.events.NewestDeliveries(st.r.Context(), st.view.member.Workspace.ID, f.group.filter, since.Add(-inbox.Settled), nil, tailRows)
	if err != nil || len(rows) == 0 {
		return tailBatch{}, err
	}
	html, err := drawTail(st.r.Context(), st.view, rows)
	return newTailBatch(rows[len(rows)-1].ID, len(rows), 0, html), err
}

// follow sends what comes until something ends it.
func (st *tailStream) follow(f *tailFollower) {
	beat, check := time.NewTicker(tailBeat), time.NewTicker(cmp.Or(st.s.config.TailCheck, tailCheck))
	defer beat.Stop()
	defer check.Stop()
	for {
		var err error
		select {
		case b := <-f.batches:
			b.left += f.dropped()
			err = st.batch(b)
		case <-beat.C:
			err = st.write([]byte(": still here\n\n"))
		case <-check.C:
			err = st.look()
		case <-st.s.draining:
			return // the page connects again, to another instance
		case <-st.r.Context().Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// look ends a tail whose reader's session ended, or who may not see it any more. A
// database that is away for long ends it too.
func (st *tailStream) look() error {
	ctx := st.r.Context()
	session, err := st.s.accounts.SessionUnseen(ctx, st.s.cookies.token(st.r))
	if err == nil {
		var m account.Member
		if m, err = st.s.accounts.Member(ctx, session.User.ID, st.r.PathValue("workspace")); err == nil && (!m.Can(account.ViewKeys) || st.view.filter.SeesBodies && !m.Can(account.ViewPayloads)) {
			err = fault.New(fault.Forbidden, "")
		}
	}
	if err == nil {
		st.lost = 0
		return nil
	}
	if f, known := fault.Of(err); known && f.Kind != fault.Busy {
		_ = st.write([]byte("event: end\ndata: access\n\n"))
		return err
	}
	if st.lost++; st.lost >= 3 {
		return err
	}
	return nil
}

// batch sends rows. left are those that came and are not among them.
func (st *tailStream) batch(b tailBatch) error {
	if b.rows == 0 {
		return nil
	}
	if err := st.write(b.event); err != nil || b.left == 0 {
		return err
	}
	return st.write(fmt.Appendf(nil, "event: left\ndata: %d\n\n", b.left))
}

func (st *tailStream) write(text []byte) error {
	control := http.NewResponseController(st.w)
	_ = control.SetWriteDeadline(time.Now().Add(tailStall)) // a recorder in a test has none
	if _, err := st.w.Write(text); err != nil {
		return err
	}
	return control.Flush()
}

// tail are the addresses that show more of the list as it comes, or take it away. A
// page further back is no place for what is new: it leads to the newest one.
func (v logView) tail(r *http.Request) views.Tail {
	newest := v.before == uuid.Nil && v.after == uuid.Nil
	t := views.Tail{Live: newest && asksForTail(r), Toggle: v.list(map[string]string{"tail": "1"})}
	if t.Live {
		t.Toggle = v.list(nil)
	}
	if newest {
		t.Stream = v.part("/tail", nil)
	}
	t.CSV, t.NDJSON = v.part("/export", map[string]string{"format": inbox.CSV}), v.part("/export", map[string]string{"format": inbox.NDJSON})
	if v.member.Can(account.ViewPayloads) {
		t.Payloads = v.part("/export", map[string]string{"format": inbox.NDJSON, "payloads": "1"})
	}
	return t
}

// asksForTail reports whether a page asks for itself again and again: nobody's doing,
// so no sign of life.
func asksForTail(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Get("tail") == "1"
}
