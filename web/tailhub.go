package web

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/views"
)

const (
	tailPause  = 500 * time.Millisecond // between two looks
	tailShare  = 30                     // a pause is that many times as long as the looks before it took,
	tailLong   = 3 * time.Second        // up to this
	tailRows   = 200                    // rows that a page has at most
	tailAtOnce = 20                     // rows of one batch: more than a person reads in its time
	tailFlood  = 2 * time.Second        // between two looks, if more came than is sent
	tailQueue  = 8                      // batches that wait for a page that takes none
	tailsOpen  = 250                    // on one instance
)

// A tailHub looks for new deliveries on behalf of all pages here that follow some:
// one question for all of those with one filter, one drawing of what is new. Nobody
// tells it of them, because a notification in a batch would make writers wait for
// each other.
//
// Nothing that a page would show is skipped, though requests are recorded in another
// order than they begin in: each look reads the newest 200 by their ids anew, and
// takes out what was sent. What is recorded up to [inbox.Settled] late is sent then,
// and the page puts it in its place, unless 200 newer ones came meanwhile: then it
// would have left the page already.
type tailHub struct {
	events *inbox.Store
	keys   *keyring.Store
	log    *slog.Logger
	wake   chan struct{} // somebody began to follow

	mu     sync.Mutex
	groups map[string]*tailGroup
	open   int
}

func newTailHub(events *inbox.Store, keys *keyring.Store, log *slog.Logger) *tailHub {
	return &tailHub{events: events, keys: keys, log: log, wake: make(chan struct{}, 1), groups: map[string]*tailGroup{}}
}

// A tailGroup is all who follow one filter in one workspace.
type tailGroup struct {
	view      logView
	filter    inbox.DeliveryFilter
	seen      []uuid.UUID // the last that were sent
	followers map[*tailFollower]bool
	namesAt   time.Time
	rest      time.Time // until when nobody looks: what is there was too much to read
}

// A tailBatch is some rows of the list, drawn.
type tailBatch struct {
	rows int
	left int // that came and are not among them

	event []byte // as it is sent, the same for all who follow
}

func newTailBatch(last uuid.UUID, rows, left int, html []byte) tailBatch {
	event := fmt.Appendf(nil, "id: %s\nevent: rows\n", last)
	for line := range bytes.Lines(html) {
		event = append(append(event, "data: "...), bytes.TrimRight(line, "\r\n")...)
		event = append(event, '\n')
	}
	return tailBatch{rows: rows, left: left, event: append(event, '\n')}
}

// A tailFollower is one page.
type tailFollower struct {
	hub     *tailHub
	name    string
	group   *tailGroup
	batches chan tailBatch
	skipped int // rows, under the hub's lock
}

var errTailsFull = fault.New(fault.Busy, "As many live tails are open as this instance takes. Try again later.")

// follow begins to look for what a view of the log means.
func (h *tailHub) follow(view logView) (*tailFollower, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open >= tailsOpen {
		return nil, errTailsFull
	}
	h.open++
	name := fmt.Sprint(view.member.Workspace.ID, view.filter.SeesBodies, view.filter.Query(nil))
	group := h.groups[name]
	if group == nil {
		view.before, view.after = uuid.Nil, uuid.Nil
		group = &tailGroup{view: view, filter: view.filter.DeliveryFilter, followers: map[*tailFollower]bool{}}
		h.groups[name] = group
	}
	f := &tailFollower{hub: h, name: name, group: group, batches: make(chan tailBatch, tailQueue)}
	group.followers[f] = true
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return f, nil
}

func (f *tailFollower) leave() {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	f.hub.open--
	if delete(f.group.followers, f); len(f.group.followers) == 0 {
		delete(f.hub.groups, f.name)
	}
}

// dropped tells how many rows were left out since it was asked last, because the
// page took nothing.
func (f *tailFollower) dropped() int {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	n := f.skipped
	f.skipped = 0
	return n
}

// Run looks for new deliveries while live tails are open, until ctx is done.
func (s *Server) Run(ctx context.Context) { s.tails.run(ctx) }

func (h *tailHub) run(ctx context.Context) {
	for {
		groups := h.watched()
		if len(groups) == 0 {
			select {
			case <-h.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		began := time.Now()
		for _, group := range groups {
			if began.Before(group.rest) {
				continue
			}
			if err := h.look(ctx, group); err != nil && ctx.Err() == nil {
				h.log.WarnContext(ctx, "new deliveries can't be looked for", "err", err)
				break // until the next turn
			}
		}
		select {
		case <-time.After(pauseAfter(time.Since(began))):
		case <-ctx.Done():
			return
		}
	}
}

// pauseAfter keeps many filters, or many rows to compare, from taking what ingestion
// needs: pages get what is new somewhat later then.
func pauseAfter(looked time.Duration) time.Duration {
	return max(tailPause, min(tailShare*looked, tailLong))
}

func (h *tailHub) watched() (groups []*tailGroup) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, group := range h.groups {
		groups = append(groups, group)
	}
	return groups
}

// look sends a group what is new. Only run calls it, so that seen and rest are its own.
func (h *tailHub) look(ctx context.Context, g *tailGroup) error {
	ctx, cancel := context.WithTimeout(g.view.member.Inside(ctx), 5*time.Second)
	defer cancel()
	rows, err := h.events.NewestDeliveries(ctx, g.view.member.Workspace.ID, g.filter, time.Now().Add(-inbox.Settled), g.seen, tailRows)
	if err != nil || len(rows) == 0 {
		return err
	}
	if err := h.learnNames(ctx, g, rows); err != nil {
		return err
	}
	shown := rows[max(0, len(rows)-tailAtOnce):]
	html, err := drawTail(ctx, g.view, shown)
	if err != nil {
		return err
	}
	for _, row := range rows {
		g.seen = append(g.seen, row.ID)
	}
	g.seen = g.seen[max(0, len(g.seen)-2*tailRows):]
	if len(rows) > len(shown) {
		g.rest = time.Now().Add(tailFlood)
	}
	h.publish(g, newTailBatch(rows[len(rows)-1].ID, len(shown), len(rows)-len(shown), html))
	return nil
}

// learnNames reads the keys' names anew where a row's key is not known, at most
// every few seconds.
func (h *tailHub) learnNames(ctx context.Context, g *tailGroup, rows []inbox.Delivery) error {
	unknown := false
	for _, row := range rows {
		unknown = unknown || row.KeyID != nil && g.view.names[*row.KeyID] == ""
	}
	if !unknown || time.Since(g.namesAt) < 5*time.Second {
		return nil
	}
	keys, err := h.keys.List(ctx, g.view.member.Workspace.ID)
	if err != nil {
		return err
	}
	names := map[uuid.UUID]string{}
	for _, key := range keys {
		names[key.ID] = key.Name
	}
	g.view.names, g.namesAt = names, time.Now()
	return nil
}

// publish gives each follower the batch, but those that have not taken so many.
func (h *tailHub) publish(g *tailGroup, b tailBatch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for f := range g.followers {
		select {
		case f.batches <- b:
		default:
			f.skipped += b.rows + b.left
		}
	}
}

// drawTail draws rows as the list has them, the newest first.
func drawTail(ctx context.Context, view logView, rows []inbox.Delivery) ([]byte, error) {
	var list []views.LogRow
	for i := len(rows) - 1; i >= 0; i-- {
		list = append(list, view.row(rows[i]))
	}
	var text bytes.Buffer
	err := views.TailRows(list).Render(ctx, &text)
	return text.Bytes(), err
}
