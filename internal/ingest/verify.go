package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// A proof is what credentials came to.
type proof struct {
	key              keyring.Key // its ID is Nil if no key could be told
	workspaceID      uuid.UUID   // Nil if none could be told
	apiKeyGeneration int         // 0: no API key held
	secretGeneration int         // 0: no secret held
	until            time.Time   // when what was proved ends to be valid; zero: never
	reason           inbox.Reason
}

// holds notes that a credential was proved.
func (p *proof) holds(found keyring.Found) {
	p.key, p.workspaceID = found.Key, found.Key.WorkspaceID
	if found.Until != nil && (p.until.IsZero() || found.Until.Before(p.until)) {
		p.until = *found.Until
	}
}

// generation is that of the credential that proved the most.
func (p proof) generation() int {
	if p.secretGeneration > 0 {
		return p.secretGeneration
	}
	return p.apiKeyGeneration
}

// refuse notes why the proof fails; the first reason stays.
func (p *proof) refuse(reason inbox.Reason) {
	if p.reason == "" {
		p.reason = reason
	}
}

// verify looks up what the credentials name and holds them against it. Its
// errors are trouble with the database; everything else is a reason.
func (h *Handler) verify(ctx context.Context, rq *request, c credentials, keys *keyring.View) (proof, error) {
	p := proof{reason: c.wrong}
	var err error
	switch {
	case !rq.route.signals():
		err = h.verifyHook(ctx, rq, c, keys, &p)
	case c.signed:
		err = h.verifyWorkspace(ctx, rq, c, keys, &p)
	}
	if err != nil {
		return proof{}, err
	}
	if c.apiKey != "" && c.wrong == "" { // whatever was found so far, so that the time tells nothing
		err = h.verifyAPIKey(ctx, c, keys, &p)
	}
	return p, err
}

// verifyHook finds the key that the path names, and checks the signature with
// its secrets. An unknown key costs as much as a wrong signature.
func (h *Handler) verifyHook(ctx context.Context, rq *request, c credentials, keys *keyring.View, p *proof) error {
	key, credentials, err := keys.ByID(ctx, c.keyID)
	if isNotFound(err) {
		p.refuse(inbox.UnknownKey)
		h.verifyNothing(rq, c)
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the key: %w", err)
	}
	p.key, p.workspaceID = key, key.WorkspaceID
	if c.signed {
		h.verifySecrets(rq, c, secretsOf(credentials), p, inbox.SecretMissing)
	}
	return nil
}

// verifyWorkspace tries the secrets of a workspace's generic keys.
func (h *Handler) verifyWorkspace(ctx context.Context, rq *request, c credentials, keys *keyring.View, p *proof) error {
	secrets, tooMany, err := keys.Generic(ctx, c.workspaceID, c.keyID)
	if err != nil {
		return fmt.Errorf("look up the workspace's keys: %w", err)
	}
	if len(secrets) > 0 {
		p.workspaceID = c.workspaceID
	}
	h.verifySecrets(rq, c, secrets, p, inbox.UnknownWorkspace)
	if tooMany && p.reason == inbox.SignatureWrong { // the right one may be among those not tried
		p.reason = inbox.TooManySecrets
	}
	return nil
}

// verifySecrets finds the secret that signed the request. With none to try,
// the reason is none's; if all of them are one key's, the key is told even
// when none fits.
func (h *Handler) verifySecrets(rq *request, c credentials, secrets []keyring.Found, p *proof, none inbox.Reason) {
	if len(secrets) == 0 {
		p.refuse(none)
		h.verifyNothing(rq, c)
		return
	}
	if key, single := singleKey(secrets); single {
		p.key, p.workspaceID = key, key.WorkspaceID
	}
	if p.reason != "" {
		h.verifyNothing(rq, c)
		return
	}
	var stale keyring.State
	for _, found := range secrets {
		if ok, err := c.signature.Verify(found.Secret.Reveal(), rq.body); !ok || err != nil {
			continue
		}
		p.holds(found)
		p.secretGeneration = found.Generation
		if found.State == keyring.Valid {
			return
		}
		stale = found.State
	}
	if p.secretGeneration > 0 {
		p.refuse(reasonOf(stale))
		return
	}
	p.refuse(inbox.SignatureWrong)
}

// verifyNothing takes as long as checking one signature.
func (h *Handler) verifyNothing(rq *request, c credentials) {
	c.signature.Verify(h.dummy, rq.body) // the result is of no use
}

// verifyAPIKey checks an API key, and that it belongs to the key that was found
// by other means, if one was.
func (h *Handler) verifyAPIKey(ctx context.Context, c credentials, keys *keyring.View, p *proof) error {
	found, err := keys.ByAPIKey(ctx, c.apiKey)
	switch {
	case isNotFound(err):
		p.refuse(inbox.UnknownAPIKey)
		return nil
	case err != nil:
		return fmt.Errorf("look up the API key: %w", err)
	case p.key.ID != uuid.Nil && p.key.ID != found.Key.ID:
		p.refuse(inbox.KeyMismatch)
		return nil
	}
	p.holds(found)
	p.apiKeyGeneration = found.Generation
	if found.State != keyring.Valid {
		p.refuse(reasonOf(found.State))
	}
	if c.inURL && !found.Key.AllowInURL {
		p.refuse(inbox.NotInURL)
	}
	return nil
}

func singleKey(secrets []keyring.Found) (keyring.Key, bool) {
	for _, found := range secrets {
		if found.Key.ID != secrets[0].Key.ID {
			return keyring.Key{}, false
		}
	}
	return secrets[0].Key, true
}

func isNotFound(err error) bool {
	f, known := fault.Of(err)
	return err != nil && known && f.Kind == fault.NotFound
}

// reasonOf tells why a credential that was right does not count.
func reasonOf(state keyring.State) inbox.Reason {
	switch state {
	case keyring.KeyInactive:
		return inbox.KeyInactive
	case keyring.KeyExpired:
		return inbox.KeyExpired
	case keyring.CredentialExpired:
		return inbox.CredentialExpired
	}
	return inbox.CredentialEnded
}

// secretsOf leaves the API keys out.
func secretsOf(credentials []keyring.Found) []keyring.Found {
	var secrets []keyring.Found
	for _, found := range credentials {
		if found.Secret.Reveal() != "" {
			secrets = append(secrets, found)
		}
	}
	return secrets
}
