package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// notices are the metrics of keys that need somebody: numbers over the whole
// instance, without a name in them. They are looked up once a minute, not on each
// scrape, so that no scrape waits for the database; every instance has the same.
type notices struct {
	keys   *keyring.Store
	events *inbox.Store

	expiring *prometheus.GaugeVec
	ghosts   *prometheus.GaugeVec
	overlaps *prometheus.GaugeVec
	lookedAt prometheus.Gauge
}

func newNotices(keys *keyring.Store, events *inbox.Store, registerer prometheus.Registerer) *notices {
	n := &notices{
		keys: keys, events: events,
		expiring: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keyhook_keys_expiring", Help: "Keys that work and expire within that many days.",
		}, []string{"days"}),
		ghosts: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keyhook_keys_ghost_use", Help: "Keys whose stopped credentials were used in the last 24 hours, by why they were refused.",
		}, []string{"reason"}),
		overlaps: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keyhook_overlaps_ending", Help: "Overlaps of rotations that end within 24 hours, by whether old credentials are in use.",
		}, []string{"old_in_use"}),
		lookedAt: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "keyhook_notices_timestamp_seconds", Help: "When expiring keys, ghost use and ending overlaps were looked up last.",
		}),
	}
	registerer.MustRegister(n.expiring, n.ghosts, n.overlaps, n.lookedAt)
	return n
}

// look looks everything up.
func (n *notices) look(ctx context.Context) error {
	now := time.Now()
	for _, task := range []func(context.Context, time.Time) error{n.lookAtExpiry, n.lookAtGhosts, n.lookAtOverlaps} {
		if err := task(ctx, now); err != nil {
			return err
		}
	}
	n.lookedAt.Set(float64(now.Unix()))
	return nil
}

func (n *notices) lookAtExpiry(ctx context.Context, _ time.Time) error {
	day, week, month, err := n.keys.Expiring(ctx)
	if err != nil {
		return err
	}
	for days, count := range map[string]int{"1": day, "7": week, "30": month} {
		n.expiring.WithLabelValues(days).Set(float64(count))
	}
	return nil
}

func (n *notices) lookAtGhosts(ctx context.Context, now time.Time) error {
	found, err := n.events.Ghosts(ctx, uuid.Nil, uuid.Nil, now)
	if err != nil {
		return err
	}
	var ids []uuid.UUID
	for _, ghost := range found {
		ids = append(ids, ghost.KeyID)
	}
	works, err := n.keys.Working(ctx, ids)
	if err != nil {
		return err
	}
	keys := map[inbox.Reason]map[uuid.UUID]bool{}
	for _, reason := range inbox.GhostReasons() {
		keys[reason] = map[uuid.UUID]bool{}
	}
	for _, ghost := range found {
		if ghost.Day > 0 && !ghost.Over(works[ghost.KeyID]) {
			keys[ghost.Reason][ghost.KeyID] = true
		}
	}
	for reason, haunted := range keys {
		n.ghosts.WithLabelValues(string(reason)).Set(float64(len(haunted)))
	}
	return nil
}

func (n *notices) lookAtOverlaps(ctx context.Context, now time.Time) error {
	ending, err := n.keys.EndingOverlaps(ctx, uuid.Nil)
	if err != nil {
		return err
	}
	var rotations []inbox.RotatedKey
	for _, o := range ending {
		rotations = append(rotations, inbox.RotatedKey{WorkspaceID: o.WorkspaceID, KeyID: o.KeyID, Rotation: inbox.Rotation{At: o.Since, Old: o.CountedAs, Before: o.Before}})
	}
	uses, err := n.events.OldUses(ctx, rotations)
	if err != nil {
		return err
	}
	inUse := 0
	for _, use := range uses {
		if use.InUse(now) {
			inUse++
		}
	}
	n.overlaps.WithLabelValues("yes").Set(float64(inUse))
	n.overlaps.WithLabelValues("no").Set(float64(len(ending) - inUse))
	return nil
}

// noteForwards writes down once a minute who forwards addresses without being
// trusted, and what is left of that at the end.
func (h *house) noteForwards(ctx context.Context, log *slog.Logger) {
	const name = "write down untrusted proxies"
	c := chore{name, time.Minute, h.hooks.WriteForwards}
	c.again(ctx, log)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := h.hooks.WriteForwards(last); err != nil {
		log.WarnContext(last, "upkeep", "work", name, "err", err)
	}
}
