package web

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/fault"
	"keyhook/internal/inbox"
)

const (
	exportsAtOnce = 3                // of all people together: each holds a page in memory
	exportStall   = 60 * time.Second // how long its reader may take nothing
	exportPiece   = 256 << 10        // written at once, each within exportStall
)

// exportDeliveries sends the deliveries that the address asks for as a file. Whether
// it is whole tells its last line, and the trailer Keyhook-Export; one that was cut
// off goes on behind its last row with after=.
func (s *Server) exportDeliveries(w http.ResponseWriter, r *http.Request, m account.Member) error {
	export, err := s.exportAskedFor(r, m)
	if err != nil {
		return err
	}
	return s.sendFile(w, r, m, export.Format, fileName("deliveries-"+m.Workspace.Slug, export.Format), func(ctx context.Context, by audit.Actor, out io.Writer) error {
		_, err := s.events.Export(ctx, by, export, out)
		return err
	})
}

// fileTypes are the forms of files that are sent.
var fileTypes = map[string]string{
	inbox.NDJSON: "application/x-ndjson", inbox.CSV: "text/csv; charset=utf-8; header=present", "json": "application/json",
}

// fileName is a file's name with the moment at which it was asked for.
func fileName(what, format string) string {
	return what + "-" + time.Now().UTC().Format("20060102T150405Z") + "." + format
}

// sendFile sends what write writes, for as long as its reader takes it. Only so many
// are sent at once. One that can't be brought to its end is cut off, so that nobody
// takes it for a whole one.
func (s *Server) sendFile(w http.ResponseWriter, r *http.Request, m account.Member, format, name string, write func(context.Context, audit.Actor, io.Writer) error) error {
	if r.Method == http.MethodHead {
		describeExport(w.Header(), format, name)
		return nil
	}
	if s.isDraining() {
		return errStopping
	}
	select {
	case s.exports <- struct{}{}:
		defer func() { <-s.exports }()
	default:
		return fault.New(fault.Busy, "As many exports run as this instance takes. Try again in a minute.")
	}
	ctx, cancel := s.untilDrained(r.Context())
	defer cancel()
	out := &exportWriter{w: w, begin: func() { describeExport(w.Header(), format, name) }}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // or the server takes a reader for one that went away
	err := write(ctx, s.actor(r, m), out)
	if err != nil && !out.began {
		return err
	}
	if err != nil {
		s.log.InfoContext(r.Context(), "an export was cut off", "request", requestID(r), "of", name, "err", err)
		panic(http.ErrAbortHandler) // the reader sees that it has no end
	}
	w.Header().Set("Keyhook-Export", "whole")
	return nil
}

// describeExport says that a file of a format follows. Until its first byte the
// answer may still be an error's page, which nobody should be given to keep.
func describeExport(h http.Header, format, name string) {
	h.Set("Content-Type", fileTypes[format])
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("X-Accel-Buffering", "no") // nginx, pass it on as it comes
	h.Set("Trailer", "Keyhook-Export")
}

// exportAskedFor reads what the address asks for. A list shows more where it can't
// understand a filter; a file that somebody takes away must not hold more than was
// meant.
func (s *Server) exportAskedFor(r *http.Request, m account.Member) (inbox.Export, error) {
	query := r.URL.Query()
	filter, stated, err := ParseDeliveryFilter(query, time.Now())
	if err != nil {
		return inbox.Export{}, err
	}
	filter.SeesBodies = m.Can(account.ViewPayloads)
	e := inbox.Export{Filter: filter, Stated: stated, Format: query.Get("format"), KeyNames: map[uuid.UUID]string{}}
	if e.Format == "" {
		e.Format = inbox.NDJSON
	}
	if !inbox.KnownFormat(e.Format) {
		return e, fault.On("format", fault.Invalid, "The format is csv or ndjson.")
	}
	if text := query.Get("after"); text != "" {
		if e.After, err = uuid.Parse(text); err != nil {
			return e, fault.On("after", fault.Invalid, "Go on behind a request's id: the last one that the file has.")
		}
	}
	switch query.Get("payloads") {
	case "":
	case "1":
		if e.Payloads = m.Can(account.ViewPayloads); !e.Payloads {
			return e, fault.New(fault.Forbidden, "Your role in this workspace does not allow you to see payloads. Export without them.")
		}
	default:
		return e, fault.On("payloads", fault.Invalid, "Write payloads=1, or leave it out.")
	}
	keys, err := s.keys.List(r.Context(), m.Workspace.ID)
	if err != nil {
		return e, err
	}
	for _, key := range keys {
		e.KeyNames[key.ID] = key.Name
	}
	return e, nil
}

// ParseDeliveryFilter reads a filter as it stands in an address, and says how it is
// stated there. What can't be understood is a fault.
func ParseDeliveryFilter(query url.Values, now time.Time) (inbox.DeliveryFilter, string, error) {
	f := deliveryFilterIn(query, now)
	for _, field := range slices.Sorted(maps.Keys(f.Wrong)) {
		return f.DeliveryFilter, "", fault.On(field, fault.Invalid, f.Wrong[field])
	}
	d := f.DeliveryFilter
	for field, missing := range map[string]bool{
		"key": d.Key == uuid.Nil, "outcome": d.Outcome == "", "reason": d.Reason == "", "scheme": d.Scheme == "", "auth": d.Method == "", "range": f.Range == "",
	} {
		if missing && f.Typed(field) != "" {
			return d, "", fault.On(field, fault.Invalid, "There is no "+field+" "+shown(f.Typed(field))+".")
		}
	}
	return d, f.Query(nil), nil
}

// An exportWriter writes in pieces, each of which the reader must take in time:
// the server's own limits are for short answers.
type exportWriter struct {
	w     http.ResponseWriter
	begin func() // before the first byte
	began bool
}

func (e *exportWriter) Write(text []byte) (n int, err error) {
	if !e.began {
		e.began = true
		e.begin()
	}
	control := http.NewResponseController(e.w)
	for n < len(text) {
		_ = control.SetWriteDeadline(time.Now().Add(exportStall)) // a recorder in a test has none
		k, err := e.w.Write(text[n:min(len(text), n+exportPiece)])
		if n += k; err != nil {
			return n, err
		}
	}
	if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return n, err
	}
	return n, nil
}

// Drain ends what stays open, exports and live tails: their readers go on with
// another instance.
func (s *Server) Drain() { s.drain.Do(func() { close(s.draining) }) }

var errStopping = fault.New(fault.Busy, "This instance is stopping. Try again.")

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// untilDrained returns a context that ends with ctx, or when the server drains.
func (s *Server) untilDrained(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.draining:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
