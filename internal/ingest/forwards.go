package ingest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"keyhook/internal/inbox"
)

// forwards are the peers that forwarded addresses without being trusted, since
// they were written down last. They are noted in memory, so that a request pays
// for no statement, and by workspace, of which there are as many as exist.
type forwards struct {
	mu   sync.Mutex
	seen map[uuid.UUID]map[forward]inbox.Forward
}

// A forward is a peer in one hour; the zero address stands for those that are not
// told apart.
type forward struct {
	proxy netip.Addr
	hour  int64
}

// note adds a request.
func (f *forwards) note(workspace uuid.UUID, proxy netip.Addr, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = map[uuid.UUID]map[forward]inbox.Forward{}
	}
	f.add(workspace, forward{proxy, at.Unix() / 3600}, inbox.Forward{Proxy: proxy.String(), Requests: 1, LastAt: at})
}

func (f *forwards) add(workspace uuid.UUID, key forward, more inbox.Forward) {
	mine := f.seen[workspace]
	if mine == nil {
		mine = map[forward]inbox.Forward{}
		f.seen[workspace] = mine
	}
	if _, known := mine[key]; !known && len(mine) >= inbox.MaxProxies {
		key.proxy, more.Proxy = netip.Addr{}, inbox.OtherProxies
	}
	more.Requests += mine[key].Requests
	if last := mine[key].LastAt; last.After(more.LastAt) {
		more.LastAt = last
	}
	mine[key] = more
}

// take returns what was noted of one workspace, and forgets it.
func (f *forwards) take() (workspace uuid.UUID, noted map[forward]inbox.Forward) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for workspace, noted = range f.seen {
		delete(f.seen, workspace)
		return workspace, noted
	}
	return uuid.Nil, nil
}

// giveBack notes again what could not be written down.
func (f *forwards) giveBack(workspace uuid.UUID, noted map[forward]inbox.Forward) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, forward := range noted {
		f.add(workspace, key, forward)
	}
}

// noteForwarder notes who forwarded a request whose credentials held, whatever
// else was wrong with it: without one anybody could make a warning of it.
func (h *Handler) noteForwarder(rq *request, p proof) {
	if rq.forwarder.IsValid() && p.generation() > 0 {
		h.metrics.forwarded.Inc()
		h.proxies.note(p.workspaceID, rq.forwarder, rq.receivedAt)
	}
}

// WriteForwards writes down who forwarded addresses without being trusted. Call it
// about once a minute.
func (h *Handler) WriteForwards(ctx context.Context) error {
	for {
		workspace, noted := h.proxies.take()
		if noted == nil {
			return nil
		}
		err := h.writer.db.InTx(ctx, func(tx *sqlx.Tx) error {
			return inbox.NoteForwards(ctx, tx, workspace, slices.Collect(maps.Values(noted)))
		})
		if err != nil {
			h.proxies.giveBack(workspace, noted)
			return fmt.Errorf("write down untrusted proxies: %w", err)
		}
	}
}
