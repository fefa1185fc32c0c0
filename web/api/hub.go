package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/postgres"
)

const (
	lookOften    = 20 * time.Millisecond // while signals come
	lookSeldom   = 50 * time.Millisecond // while none came for a while
	lookTroubled = time.Second           // while the database is away
	quietAfter   = 2 * time.Second
	pageLasts    = time.Second // then it is read anew: what is in it may have been erased or marked
	tailBytes    = 1 << 20     // kept of one workspace
	hubBytes     = 32 << 20    // kept of all
)

// A hub looks for new signals on behalf of everybody here who waits for some: one
// question for all workspaces, one page for all readers of one. Writers tell
// nobody, because a notification in a batch would make writers wait for each other.
type hub struct {
	events *inbox.Store
	log    *slog.Logger
	wake   chan struct{} // somebody began to wait

	mu    sync.Mutex
	tails map[uuid.UUID]*tail
	bytes int
}

func newHub(events *inbox.Store, log *slog.Logger) *hub {
	return &hub{events: events, log: log, wake: make(chan struct{}, 1), tails: map[uuid.UUID]*tail{}}
}

// A tail is the end of one workspace's signals, while somebody follows it. The
// newest pages are kept for who is not quite as far.
type tail struct {
	head      inbox.Position
	pages     []tailPage // contiguous, up to head
	bytes     int
	followers int
	lost      bool // what is here can't be followed: ask the database
	changed   chan struct{}
}

type tailPage struct {
	from  inbox.Position
	items []item
	bytes int
	read  time.Time
}

// A follower is one reader of a tail.
type follower struct {
	hub       *hub
	workspace uuid.UUID
	tail      *tail
	since     time.Time // pages that were read before are not for it
}

// follow begins to wait for signals behind a position, at which everything that
// could be read was read.
func (h *hub) follow(workspace uuid.UUID, at inbox.Position) *follower {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.tails[workspace]
	if t == nil {
		t = &tail{head: at, changed: make(chan struct{})}
		h.tails[workspace] = t
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
	t.followers++
	return &follower{h, workspace, t, time.Now()}
}

func (f *follower) leave() {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	if f.tail.followers--; f.tail.followers == 0 {
		f.hub.drop(f.workspace, f.tail)
	}
}

// drop forgets a tail. Call it with the lock held.
func (h *hub) drop(workspace uuid.UUID, t *tail) {
	h.bytes -= t.bytes
	t.bytes, t.pages = 0, nil
	if h.tails[workspace] == t {
		delete(h.tails, workspace)
	}
}

// next returns the signals behind a position as far as they are here. behind says
// that they are not, but in the database: also where they were read before the follower
// began, or a while ago, since an erasure or a mark may have come in between. changed is
// closed when there may be more.
func (f *follower) next(at inbox.Position) (items []item, behind bool, changed <-chan struct{}) {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	t := f.tail
	switch {
	case t.lost:
		return nil, true, nil
	case at.Compare(t.head) >= 0:
		return nil, false, t.changed
	case len(t.pages) == 0 || at.Compare(t.pages[0].from) < 0:
		return nil, true, t.changed
	}
	for _, page := range t.pages {
		for i, item := range page.items {
			if item.at.Compare(at) > 0 {
				if page.read.Before(f.since) || time.Since(page.read) > pageLasts {
					return nil, true, t.changed
				}
				return page.items[i:], false, t.changed
			}
		}
	}
	return nil, false, t.changed
}

// run looks again and again, as often as is worth it.
func (h *hub) run(ctx context.Context) {
	pause, seen := lookSeldom, time.Time{}
	for {
		if !h.rest(ctx, pause) {
			return
		}
		began := time.Now()
		found, more, err := h.look(ctx)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				h.log.WarnContext(ctx, "new signals can't be looked for", "err", err)
			}
			pause = lookTroubled
			continue
		case found:
			seen = time.Now()
		}
		pause = lookSeldom
		if time.Since(seen) < quietAfter {
			pause = lookOften
		}
		if pause -= time.Since(began); more || pause < 0 {
			pause = 0
		}
	}
}

// rest waits for a while, or, where nobody follows, until somebody does. It
// reports whether to go on.
func (h *hub) rest(ctx context.Context, pause time.Duration) bool {
	h.mu.Lock()
	idle := len(h.tails) == 0
	h.mu.Unlock()
	if idle {
		select {
		case <-h.wake:
			return true
		case <-ctx.Done():
			return false
		}
	}
	select {
	case <-time.After(pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// look publishes what is new. more says that there is more than was read.
func (h *hub) look(ctx context.Context) (found, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	heads := h.heads()
	if len(heads) == 0 {
		return false, false, nil
	}
	news, err := h.events.WithNews(ctx, heads)
	if err != nil {
		return false, false, err
	}
	at := map[uuid.UUID]inbox.Position{}
	for _, head := range heads {
		at[head.Workspace] = head.Position
	}
	for _, workspace := range news {
		from, began := at[workspace], time.Now()
		page := newSheet(workspace)
		_, err := h.events.Read(postgres.InWorkspace(ctx, workspace), workspace, &from, maxLimit, page.add)
		items := page.items()
		page.release()
		err = asProblem(err, func(inbox.Position) string { return "" })
		if _, _, known := problemOf(err); err != nil && known {
			h.lose(workspace) // its followers are told by the database
			continue
		}
		if err != nil {
			return true, false, err
		}
		h.publish(workspace, from, items, began)
		more = more || len(items) == maxLimit
	}
	return len(news) > 0, more, nil
}

func (h *hub) heads() (heads []inbox.Head) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for workspace, t := range h.tails {
		for len(t.pages) > 0 && time.Since(t.pages[0].read) > pageLasts {
			h.forget(t)
		}
		heads = append(heads, inbox.Head{Workspace: workspace, Position: t.head})
	}
	return heads
}

// publish adds a page to a tail that still ends where the page begins, and wakes
// those who follow it.
func (h *hub) publish(workspace uuid.UUID, from inbox.Position, items []item, read time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.tails[workspace]
	if t == nil || t.head != from || len(items) == 0 {
		return
	}
	page := tailPage{from: from, items: items, read: read}
	for _, item := range items {
		page.bytes += len(item.json)
	}
	t.pages, t.head = append(t.pages, page), items[len(items)-1].at
	t.bytes, h.bytes = t.bytes+page.bytes, h.bytes+page.bytes
	for len(t.pages) > 1 && (t.bytes > tailBytes || h.bytes > hubBytes) {
		h.forget(t)
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// forget drops a tail's oldest page. Call it with the lock held.
func (h *hub) forget(t *tail) {
	t.bytes, h.bytes = t.bytes-t.pages[0].bytes, h.bytes-t.pages[0].bytes
	t.pages = t.pages[1:]
}

// lose sends the followers of a tail to the database, which says what is wrong.
func (h *hub) lose(workspace uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.tails[workspace]; t != nil {
		t.lost = true
		h.drop(workspace, t)
		close(t.changed)
		t.changed = make(chan struct{})
	}
}

// lost tells whether the tail can't be followed any more.
func (f *follower) lost() bool {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	return f.tail.lost
}
