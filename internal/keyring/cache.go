package keyring

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

const (
	maxRemembered = 10_000 // keys, and lists of a workspace's keys
	loadsAtOnce   = 2
)

// A Cache spares look-ups: it remembers keys with their opened secrets. What it
// says may be old. So whoever is let in by it is checked again, by the key's
// version, in the transaction that stores the request; and nobody is turned away
// by it: see [View].
//
// Look-ups that it can't answer are made many at a time, so that a flood of wrong
// keys takes two connections, whatever its size.
type Cache struct {
	store *Store

	mu      sync.Mutex
	keys    map[uuid.UUID]*entry
	hashes  map[[sha256.Size]byte]uuid.UUID
	generic map[uuid.UUID]*entry // by workspace
	next    *round
	loading int
}

// An entry is a key with its credentials, or what a workspace's generic keys have.
type entry struct {
	credentials []Found
	tooMany     bool
	err         error // of a secret that can't be opened
}

// NewCache returns an empty Cache of what is in store.
func NewCache(store *Store) *Cache {
	c := &Cache{store: store}
	c.ForgetAll()
	return c
}

// ChangesChannel is where the database notifies of a key that changed, by its id.
const ChangesChannel = "keyhook_keys"

// Hear takes a notification.
func (c *Cache) Hear(payload string) {
	if id, err := uuid.Parse(payload); err == nil {
		c.Forget(id)
	}
}

// Forget drops a key that has changed.
func (c *Cache) Forget(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(id)
	for workspace, list := range c.generic {
		for _, f := range list.credentials {
			if f.Key.ID == id {
				delete(c.generic, workspace)
				break
			}
		}
	}
}

func (c *Cache) drop(id uuid.UUID) {
	if e := c.keys[id]; e != nil {
		for _, f := range e.credentials {
			if len(f.Hash) == sha256.Size {
				delete(c.hashes, [sha256.Size]byte(f.Hash))
			}
		}
	}
	delete(c.keys, id)
}

// ForgetAll drops everything, as after a time in which changes were not heard of.
func (c *Cache) ForgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys, c.hashes, c.generic = map[uuid.UUID]*entry{}, map[[sha256.Size]byte]uuid.UUID{}, map[uuid.UUID]*entry{}
}

// Len is the number of keys remembered.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.keys)
}

// A round is a set of look-ups that are made together.
type round struct {
	hashes     map[[sha256.Size]byte]bool
	ids        map[uuid.UUID]bool
	workspaces map[uuid.UUID]bool

	done    chan struct{}
	err     error
	keys    map[uuid.UUID]*entry
	byHash  map[[sha256.Size]byte]uuid.UUID
	generic map[uuid.UUID]*entry
}

// load adds to the next round and waits for it. It begins after the call.
func (c *Cache) load(ctx context.Context, add func(*round)) (*round, error) {
	c.mu.Lock()
	if c.next == nil {
		c.next = &round{
			hashes: map[[sha256.Size]byte]bool{}, ids: map[uuid.UUID]bool{}, workspaces: map[uuid.UUID]bool{}, done: make(chan struct{}),
			keys: map[uuid.UUID]*entry{}, byHash: map[[sha256.Size]byte]uuid.UUID{}, generic: map[uuid.UUID]*entry{},
		}
	}
	r := c.next
	add(r)
	if c.loading < loadsAtOnce {
		c.loading++
		go c.run()
	}
	c.mu.Unlock()
	select {
	case <-r.done:
		return r, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("look up keys: %w", ctx.Err())
	}
}

// run makes rounds while there are any.
func (c *Cache) run() {
	for {
		c.mu.Lock()
		r := c.next
		c.next = nil
		if r == nil {
			c.loading--
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.look(r)
		close(r.done)
	}
}

func (c *Cache) look(r *round) {
	ctx, cancel := context.WithTimeout(context.Background(), c.store.db.Deadline())
	defer cancel()
	defer func() {
		if cause := recover(); cause != nil {
			r.err = fmt.Errorf("looking up keys panicked: %v", cause)
		}
	}()
	r.err = c.store.db.Read(ctx, func(tx *sqlx.Tx) error {
		if err := c.lookKeys(ctx, tx, r); err != nil {
			return err
		}
		return c.lookGeneric(ctx, tx, r)
	})
	if r.err != nil {
		r.err = fmt.Errorf("look up keys: %w", r.err)
		return
	}
	c.remember(r)
}

func (c *Cache) lookKeys(ctx context.Context, tx *sqlx.Tx, r *round) error {
	const query = foundOrBare + `WHERE k.id = ANY (ARRAY(
			SELECT webhook_key_id FROM webhook_key_credentials WHERE hash = ANY ($1) UNION SELECT unnest($2::uuid[])))
		ORDER BY k.id, c.ended_at IS NOT NULL, c.generation DESC, c.kind`
	if len(r.hashes)+len(r.ids) == 0 {
		return nil
	}
	var hashes pq.ByteaArray
	for hash := range r.hashes {
		hashes = append(hashes, hash[:])
	}
	var ids []uuid.UUID
	for id := range r.ids {
		ids = append(ids, id)
	}
	var rows []foundRow
	if err := tx.SelectContext(ctx, &rows, query, hashes, pq.Array(ids)); err != nil {
		return err
	}
	for _, row := range rows {
		e := r.keys[row.ID]
		if e == nil {
			e = &entry{}
			r.keys[row.ID] = e
		}
		f, err := c.store.open(row)
		e.credentials, e.err = append(e.credentials, f), errors.Join(e.err, err)
		if len(f.Hash) == sha256.Size {
			r.byHash[[sha256.Size]byte(f.Hash)] = row.ID
		}
	}
	return nil
}

func (c *Cache) lookGeneric(ctx context.Context, tx *sqlx.Tx, r *round) error {
	const query = found + `WHERE k.workspace_id = $1 AND k.scheme = 'generic' AND c.kind = 'secret' AND c.sealed IS NOT NULL
		AND k.is_active AND coalesce(least(k.expires_at, c.expires_at, c.ended_at) > statement_timestamp(), true)
		ORDER BY k.last_used_at DESC NULLS LAST, k.id, c.generation DESC LIMIT $2`
	for workspace := range r.workspaces {
		var rows []foundRow
		if err := tx.SelectContext(ctx, &rows, query, workspace, MaxSecrets+1); err != nil {
			return err
		}
		e := &entry{tooMany: len(rows) > MaxSecrets}
		for _, row := range rows[:min(len(rows), MaxSecrets)] {
			f, err := c.store.open(row)
			e.credentials, e.err = append(e.credentials, f), errors.Join(e.err, err)
		}
		r.generic[workspace] = e
	}
	return nil
}

// remember keeps what a round found. What was not found is not remembered: a key
// works from the moment it is made.
func (c *Cache) remember(r *round) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range r.ids {
		c.drop(id) // it may be gone
	}
	for id, e := range r.keys {
		c.drop(id)
		if e.err != nil {
			continue
		}
		if len(c.keys) >= maxRemembered {
			for some := range c.keys { // which one does not matter much
				c.drop(some)
				break
			}
		}
		c.keys[id] = e
		for _, f := range e.credentials {
			if len(f.Hash) == sha256.Size {
				c.hashes[[sha256.Size]byte(f.Hash)] = id
			}
		}
	}
	for workspace, e := range r.generic {
		delete(c.generic, workspace)
		if e.err == nil && len(e.credentials) > 0 && len(c.generic) < maxRemembered {
			c.generic[workspace] = e
		}
	}
}
