package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
)

// decide finds a webhook's answer: first whether its credentials hold, then
// whether the key's rules allow it, and only then what its body says, so that
// nobody without a key can probe the parser.
//
// What is remembered of keys may let a request go on, since the transaction that
// stores it asks again; but it turns nobody away.
func (h *Handler) decide(ctx context.Context, rq *request) (answer, error) {
	c := presented(rq)
	view := h.keys.View(false)
	for range maxChanges {
		v, err := h.judge(ctx, rq, c, view)
		if err != nil {
			return answer{}, err
		}
		if v.reason != "" {
			if v.ofKey && view.Remembered() {
				view = h.keys.View(true)
				continue
			}
			h.noteForwarder(rq, v.proof)
			return h.refuse(rq, v), nil
		}
		a, done, err := h.submit(rq, v)
		if done {
			h.noteForwarder(rq, v.proof)
		}
		if done || err != nil {
			return a, err
		}
		h.metrics.stale.Inc()
		view = h.keys.View(true)
	}
	return answer{}, errKeyChanges
}

// maxChanges is how often a key may change while one request is decided on.
const maxChanges = 5

var errKeyChanges = errors.New("the key keeps changing")

// A verdict is what became of a request before it is stored. Its reason is why it
// is refused.
type verdict struct {
	proof
	event  event
	detail string   // instead of the reason's
	hints  []string // from the request alone
	ofKey  bool     // the reason comes from what is known of the key
}

// judge finds out whether a request may be stored.
func (h *Handler) judge(ctx context.Context, rq *request, c credentials, view *keyring.View) (verdict, error) {
	p, err := h.verify(ctx, rq, c, view)
	v := verdict{proof: p}
	switch { // what is known whatever the database says
	case rq.unreadable != "":
		v.reason, v.detail = rq.unreadable, rq.why
		return v, nil
	case c.wrong != "":
		v.reason, v.hints = c.wrong, c.hints
		return v, nil
	case err != nil:
		return verdict{}, err
	}
	if v.proof.reason == "" && len(rq.body) > largeBody {
		select {
		case h.parsers <- struct{}{}:
			defer func() { <-h.parsers }()
		case <-ctx.Done(): // others parse, for longer than the answer may take
			return verdict{}, ctx.Err()
		}
	}
	v.event, v.detail = h.admit(rq, &v.proof)
	v.ofKey = true
	if problemFor(v.reason).status == unauthorized.status {
		v.hints = c.hints
	}
	return v, nil
}

// submit stores what was admitted. The transaction has the last word: done is
// false if the key is not what it was.
func (h *Handler) submit(rq *request, v verdict) (a answer, done bool, err error) {
	s := newSubmission(rq, v.proof)
	s.arrival.Source, s.arrival.SourceRef = v.event.source, v.event.ref
	s.arrival.EventType, s.arrival.Handshake = v.event.kind, v.event.handshake != nil
	s.arrival.WatchBody = (v.event.ref == "" || v.event.unsigned) && v.event.handshake == nil
	s.arrival.Headers = keptHeaders(rq.header, v.event)
	result, err := h.writer.Write(s, rq.deadline)
	switch {
	case err != nil || result.Stale:
		return answer{}, false, err
	case result.over:
		v.reason = reasonOver(result.allowance)
		a := h.refuse(rq, v)
		a.allowance = result.allowance
		return a, true, nil
	}
	return answer{accepted: result.Result, allowance: result.allowance, handshake: v.event.handshake}, true, nil
}

// recordWithin is how long an answer that is known waits to be recorded.
const recordWithin = 1500 * time.Millisecond

// refuse records a refused request and returns its answer. The answer stands
// even if the record can't be made: it is not the sender who should try again.
func (h *Handler) refuse(rq *request, v verdict) answer {
	a := refusal(v.reason, v.detail, v.hints)
	h.metrics.refusals.WithLabelValues(string(v.reason)).Inc()
	s := newSubmission(rq, v.proof)
	s.arrival.Headers = keptHeaders(rq.header, event{})
	s.arrival.Refuse(v.reason, a.status())
	s.arrival.CountOnly = !h.caps.take(s.arrival)
	if s.arrival.CountOnly {
		h.metrics.notKept.Inc()
	}
	deadline := rq.deadline
	if soon := time.Now().Add(recordWithin); soon.Before(deadline) {
		deadline = soon
	}
	if _, err := h.writer.Write(s, deadline); err != nil {
		h.metrics.unrecorded.Inc()
		h.log.Warn("refused webhook not recorded", "endpoint", rq.route.endpoint, "request_id", rq.id, "err", err)
	}
	return a
}

// newSubmission describes a request to the writer.
func newSubmission(rq *request, p proof) submission {
	address := ""
	if rq.address.IsValid() {
		address = rq.address.String()
	}
	return submission{
		key: p.key,
		arrival: inbox.Arrival{
			ID: rq.id, WorkspaceID: p.workspaceID, KeyID: p.key.ID, KeyVersion: p.key.Version, ValidUntil: p.until,
			Generation: p.generation(), Method: p.method,
			Status: 200, Scheme: p.key.Scheme, Endpoint: rq.route.endpoint, Address: address,
			UserAgent:   clean(rq.header.Get("User-Agent"), maxHeaderText),
			ContentType: clean(rq.header.Get("Content-Type"), maxRef),
			Source:      p.key.Source, Signature: p.signatureText, Log: inbox.Limit(p.key.Log),
			Body: rq.body, BodySize: rq.bodySize, ReceivedAt: rq.receivedAt, Began: rq.began,
		},
	}
}

// admit applies the key's rules and reads the event from the request. If it
// refuses, p has the reason, and detail may say more than the reason does.
func (h *Handler) admit(rq *request, p *proof) (e event, detail string) {
	switch {
	case p.reason != "":
		return event{}, ""
	case p.key.ID == uuid.Nil:
		p.refuse(inbox.NoCredentials)
		return event{}, ""
	case p.key.RequireSignature && (p.secretGeneration == 0 || !p.presented.Signed):
		p.refuse(inbox.SignatureRequired)
		return event{}, ""
	case !allowed(p.key.AllowedCIDRs, rq.address):
		p.refuse(inbox.AddressForbidden)
		return event{}, ""
	}
	var err error
	if rq.route.signals() {
		e, err = signalEvent(rq)
	} else {
		e, err = hookEvent(rq, p)
	}
	if err != nil {
		reason, detail := bodyReason(err)
		p.refuse(reason)
		return event{}, detail
	}
	if e.source == "" {
		e.source = p.key.Source
	}
	if e.source != p.key.Source && !slices.Contains(p.key.OtherSources, e.source) {
		p.refuse(inbox.SourceForbidden)
		return event{}, ""
	}
	if e.handshake == nil && (e.ref == "" || e.unsigned) && p.key.IdenticalBodies == "duplicate" {
		sum := sha256.Sum256(rq.body)
		e.ref, e.unsigned = bodyRefPrefix+hex.EncodeToString(sum[:]), false // nothing else may have this body
	}
	return e, ""
}
