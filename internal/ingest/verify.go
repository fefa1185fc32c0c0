package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/signature"
)

// A proof is what credentials came to.
type proof struct {
	key              keyring.Key // its ID is Nil if no key could be told
	workspaceID      uuid.UUID   // Nil if none could be told
	apiKeyGeneration int         // 0: no API key held
	secretGeneration int         // 0: no secret held
	until            time.Time   // when what was proved ends to be valid; zero: never
	reason           inbox.Reason
	method           inbox.Method
	presented        signature.Presented // under the key's scheme
	signatureText    string              // as it came
}

// holds notes that a credential was proved.
func (p *proof) holds(found keyring.Found) {
	p.key, p.workspaceID = found.Key, found.Key.WorkspaceID
	if found.Until != nil && (p.until.IsZero() || found.Until.Before(p.until)) {
		p.until = *found.Until
	}
}

// generation is that of the oldest credential that was held: a request with one of
// an overlap counts as one with an old credential, whatever came along.
func (p proof) generation() int {
	if p.secretGeneration > 0 && p.apiKeyGeneration > 0 {
		return min(p.secretGeneration, p.apiKeyGeneration)
	}
	return max(p.secretGeneration, p.apiKeyGeneration)
}

// refuseIf is refuse where there is a reason.
func (p *proof) refuseIf(reason inbox.Reason) {
	if reason != "" {
		p.refuse(reason)
	}
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
	p := proof{reason: c.wrong, method: c.method}
	var err error
	switch {
	case !rq.route.signals():
		err = h.verifyHook(ctx, rq, c, keys, &p)
	case len(c.readings) > 0:
		err = h.verifyWorkspace(ctx, rq, c, keys, &p)
	}
	if err == nil && rq.route.signals() && c.apiKey != "" && c.wrong == "" { // whatever was found so far, so that the time tells nothing
		err = h.verifyAPIKey(ctx, c, keys, &p)
	}
	if err != nil {
		return proof{method: c.method}, err
	}
	return p, nil
}

// verifyHook finds the key that the path names, and checks what its scheme asks
// for. An unknown key costs as much as a wrong signature.
func (h *Handler) verifyHook(ctx context.Context, rq *request, c credentials, keys *keyring.View, p *proof) error {
	key, found, err := keys.ByID(ctx, c.keyID)
	if isNotFound(err) {
		p.refuse(inbox.UnknownKey)
		h.verifyNothing(rq)
		if c.apiKey != "" && c.apiKeyWrong == "" {
			return h.verifyAPIKey(ctx, c, keys, p)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the key: %w", err)
	}
	p.key, p.workspaceID = key, key.WorkspaceID
	scheme, known := signature.Find(key.Scheme)
	if !known { // a later release made it; its instances know
		return fmt.Errorf("the key %s has the scheme %q: %w", key.ID, key.Scheme, signature.ErrUnknownScheme)
	}
	h.verifyScheme(rq, c, scheme, found, p)
	return h.verifySentAlong(ctx, c, scheme, keys, p)
}

// verifyScheme checks what the key's scheme finds in the request. Headers of
// other schemes count for nothing.
func (h *Handler) verifyScheme(rq *request, c credentials, scheme *signature.Scheme, found []keyring.Found, p *proof) {
	r, came := c.of(scheme.Name)
	switch {
	case came:
		p.method, p.presented, p.signatureText = r.method(), r.presented, r.signatureText(rq)
		p.refuseIf(r.wrong)
		h.verifySecrets(rq, r, secretsOf(found), p, withoutSecret(found))
		h.recogniseErased(r, found, p)
	case scheme.Name == signature.Generic && c.apiKey != "": // the other way of this scheme
		p.method = c.method
	case c.wrong == "":
		p.method = inbox.ByNothing
		p.refuse(inbox.SignatureMissing)
	}
}

// withoutSecret is why a key without a secret refuses.
func withoutSecret(credentials []keyring.Found) inbox.Reason {
	if slices.ContainsFunc(credentials, keyring.Found.Erased) {
		return inbox.SecretErased
	}
	switch state := credentials[0].State; state {
	case keyring.KeyInactive, keyring.KeyExpired:
		return reasonOf(state)
	}
	return inbox.SecretMissing
}

// recogniseErased tells that a secret which was sent as it is was reported as
// leaked. Who made a signature can't be told without the secret.
func (h *Handler) recogniseErased(r reading, found []keyring.Found, p *proof) {
	text, user := r.presented.Sent(), r.presented.User
	if text == "" || p.reason != inbox.SignatureWrong && p.reason != inbox.SecretErased || user != "" && user != p.key.ID.String() {
		return
	}
	for _, f := range found {
		if h.keys.Recognises(f, text) {
			p.secretGeneration, p.reason = f.CountedAs, inbox.CredentialLeaked
		}
	}
}

// verifySentAlong checks an API key, which must hold wherever keys of the scheme
// have one, and in the URL always: the address would work with anything there.
func (h *Handler) verifySentAlong(ctx context.Context, c credentials, scheme *signature.Scheme, keys *keyring.View, p *proof) error {
	if c.apiKey == "" || !scheme.HasAPIKey && !c.inURL {
		return nil
	}
	p.refuseIf(c.apiKeyWrong)
	if c.apiKeyWrong != "" {
		return nil
	}
	return h.verifyAPIKey(ctx, c, keys, p)
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
	p.presented, p.signatureText = c.readings[0].presented, c.readings[0].signatureText(rq)
	live, none := secretsOf(secrets), inbox.UnknownWorkspace
	if len(live) == 0 && len(secrets) > 0 {
		p.key, none = secrets[0].Key, inbox.SecretErased
	}
	h.verifySecrets(rq, c.readings[0], live, p, none)
	if tooMany && p.reason == inbox.SignatureWrong { // the right one may be among those not tried
		p.reason = inbox.TooManySecrets
	}
	return nil
}

// verifySecrets finds the secret that proves the request. With none to try,
// the reason is none's; if all of them are one key's, the key is told even
// when none fits.
func (h *Handler) verifySecrets(rq *request, r reading, secrets []keyring.Found, p *proof, none inbox.Reason) {
	if len(secrets) == 0 {
		p.refuse(none)
		h.verifyNothing(rq)
		return
	}
	if key, single := singleKey(secrets); single {
		p.key, p.workspaceID = key, key.WorkspaceID
	}
	if p.reason != "" {
		h.verifyNothing(rq)
		return
	}
	if user := r.presented.User; user != "" && user != p.key.ID.String() {
		p.refuse(inbox.KeyMismatch)
		return
	}
	var ended keyring.State
	wrong := inbox.SignatureWrong
	for _, found := range secrets {
		switch err := r.presented.Verify(found.Secret.Reveal(), rq.body, rq.receivedAt); {
		case errors.Is(err, signature.ErrStale):
			wrong = inbox.TimestampStale
			continue
		case err != nil:
			continue
		}
		p.holds(found)
		p.secretGeneration = found.CountedAs
		if found.State == keyring.Valid {
			return
		}
		ended = found.State
	}
	if p.secretGeneration > 0 {
		p.refuse(reasonOf(ended))
		return
	}
	p.refuse(wrong)
}

// verifyNothing takes as long as checking one signature.
func (h *Handler) verifyNothing(rq *request) {
	h.dummy.Verify(h.dummySecret, rq.body, rq.receivedAt) // the result is of no use
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
	p.apiKeyGeneration = found.CountedAs
	switch {
	case found.State == keyring.CredentialLeaked && p.reason == inbox.SecretErased:
		p.reason = inbox.CredentialLeaked // this half can be told
	case found.State != keyring.Valid:
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
	case keyring.CredentialLeaked:
		return inbox.CredentialLeaked
	}
	return inbox.CredentialEnded
}

// secretsOf leaves the API keys out, and after many rotations those that were
// stopped long ago: the first ones may still hold.
func secretsOf(credentials []keyring.Found) []keyring.Found {
	var secrets []keyring.Found
	for _, found := range credentials {
		if found.Secret.Reveal() != "" && len(secrets) < keyring.MaxSecrets {
			secrets = append(secrets, found)
		}
	}
	return secrets
}
