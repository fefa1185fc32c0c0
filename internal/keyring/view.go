package keyring

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"

	"github.com/google/uuid"

	"keyhook/internal/signature"
)

// A View is how one request looks keys up. It begins with what the cache
// remembers. Whoever would turn a request away because of that asks Remembered,
// and if so looks again with a fresh View, whose look-ups begin after it was made.
type View struct {
	cache      *Cache
	fresh      bool
	remembered bool
}

// View returns a View; a fresh one asks the database.
func (c *Cache) View(fresh bool) *View { return &View{cache: c, fresh: fresh} }

// Remembered reports whether any look-up was answered from memory.
func (v *View) Remembered() bool { return v.remembered }

// ByAPIKey returns the credential with the given text, whatever its state. If
// there is none, its error is a fault NotFound.
func (v *View) ByAPIKey(ctx context.Context, text string) (Found, error) {
	sum := [sha256.Size]byte(hash(text))
	e := v.recall(func(c *Cache) *entry { return c.keys[c.hashes[sum]] })
	if e == nil {
		r, err := v.cache.load(ctx, func(r *round) { r.hashes[sum] = true })
		if err != nil {
			return Found{}, err
		}
		if e = r.keys[r.byHash[sum]]; e == nil {
			return Found{}, errNoKey
		}
	}
	if e.err != nil {
		return Found{}, e.err
	}
	for _, f := range e.credentials {
		if len(f.Hash) == sha256.Size && [sha256.Size]byte(f.Hash) == sum {
			return f, nil
		}
	}
	return Found{}, errNoKey
}

// ByID returns a key of any workspace with all its credentials, those that were
// stopped last, else the newest generation first. A key without any has one Found that holds no credential. If there is no such key, its
// error is a fault NotFound.
func (v *View) ByID(ctx context.Context, id uuid.UUID) (Key, []Found, error) {
	e := v.recall(func(c *Cache) *entry { return c.keys[id] })
	if e == nil {
		r, err := v.cache.load(ctx, func(r *round) { r.ids[id] = true })
		if err != nil {
			return Key{}, nil, err
		}
		if e = r.keys[id]; e == nil {
			return Key{}, nil, errNoKey
		}
	}
	if e.err != nil {
		return Key{}, nil, e.err
	}
	return e.credentials[0].Key, e.credentials, nil
}

// Generic returns the valid secrets of a workspace's generic keys, at most
// MaxSecrets, the most recently used first; tooMany tells that there are more. A
// key id other than uuid.Nil narrows them to one key, and then those that are
// not valid are returned too, and those that were erased.
func (v *View) Generic(ctx context.Context, workspace, key uuid.UUID) (secrets []Found, tooMany bool, err error) {
	if key != uuid.Nil {
		return v.genericOf(ctx, workspace, key)
	}
	e := v.recall(func(c *Cache) *entry { return c.generic[workspace] })
	if e == nil {
		r, err := v.cache.load(ctx, func(r *round) { r.workspaces[workspace] = true })
		if err != nil {
			return nil, false, err
		}
		e = r.generic[workspace]
	}
	return e.credentials, e.tooMany, e.err
}

func (v *View) genericOf(ctx context.Context, workspace, id uuid.UUID) (secrets []Found, tooMany bool, err error) {
	key, credentials, err := v.ByID(ctx, id)
	if err == errNoKey || key.WorkspaceID != workspace || key.Scheme != signature.Generic {
		if err == errNoKey {
			err = nil
		}
		return nil, false, err
	}
	for _, f := range credentials {
		if (f.Secret.Reveal() != "" || f.Erased()) && len(secrets) < MaxSecrets {
			secrets = append(secrets, f)
		}
	}
	return secrets, false, err
}

// Erased reports whether this is a secret that was reported as leaked, so that its
// text is gone.
func (f Found) Erased() bool { return f.Kind == secretKind && f.State == CredentialLeaked }

// Recognises reports whether a secret that was sent as it is, is one that was erased.
func (c *Cache) Recognises(f Found, text string) bool {
	return f.Erased() && hmac.Equal(f.Print, c.store.box.Fingerprint("secret", text))
}

// recall returns what the cache remembers, unless the view is fresh.
func (v *View) recall(from func(*Cache) *entry) *entry {
	if v.fresh {
		return nil
	}
	v.cache.mu.Lock()
	defer v.cache.mu.Unlock()
	e := from(v.cache)
	v.remembered = v.remembered || e != nil
	return e
}
