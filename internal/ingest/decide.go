package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
)

// decide finds a webhook's answer: first whether its credentials hold, then
// whether the key's rules allow it, and only then what its body says, so that
// nobody without a key can probe the parser.
func (h *Handler) decide(ctx context.Context, rq *request) (answer, error) {
	c := presented(rq)
	p, err := h.verify(ctx, rq, c)
	if rq.unreadable != "" { // the answer is known, whatever the database says
		p.reason = rq.unreadable
		return h.refuse(ctx, rq, c, p, refusal(rq.unreadable, "", nil)), nil
	}
	if c.wrong != "" {
		return h.refuse(ctx, rq, c, p, refusal(c.wrong, "", c.hints)), nil
	}
	if err != nil {
		return answer{}, err
	}
	event, detail := h.admit(rq, c, &p)
	if p.reason != "" {
		return h.refuse(ctx, rq, c, p, refusal(p.reason, detail, nil)), nil
	}
	s := newSubmission(rq, c, p)
	s.arrival.Source, s.arrival.SourceRef = event.source, event.ref
	return h.submit(ctx, s)
}

// submit stores what was admitted. The transaction has the last word.
func (h *Handler) submit(ctx context.Context, s submission) (answer, error) {
	done, err := h.writer.Write(ctx, s)
	if err != nil {
		return answer{}, err
	}
	if done.Outcome == inbox.Refused {
		h.metrics.refusals.WithLabelValues(string(done.Reason)).Inc()
		a := refusal(done.Reason, "", nil)
		a.allowance = done.allowance
		return a, nil
	}
	return answer{accepted: done.Result, allowance: done.allowance}, nil
}

// recordWithin is how long an answer that is known waits to be recorded.
const recordWithin = 1500 * time.Millisecond

// refuse records a refused request and returns its answer. The answer stands
// even if the record can't be made: it is not the sender who should try again.
func (h *Handler) refuse(ctx context.Context, rq *request, c credentials, p proof, a answer) answer {
	if p.reason == "" {
		p.reason = c.wrong
	}
	h.metrics.refusals.WithLabelValues(string(p.reason)).Inc()
	s := newSubmission(rq, c, p)
	s.arrival.Refuse(p.reason, a.status())
	ctx, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	if _, err := h.writer.Write(ctx, s); err != nil {
		h.metrics.unrecorded.Inc()
		h.log.WarnContext(ctx, "refused webhook not recorded", "endpoint", rq.route.endpoint, "request_id", rq.id, "err", err)
	}
	return a
}

// newSubmission describes a request to the writer.
func newSubmission(rq *request, c credentials, p proof) submission {
	address := ""
	if rq.address.IsValid() {
		address = rq.address.String()
	}
	return submission{
		key: p.key, apiKeyGeneration: p.apiKeyGeneration, secretGeneration: p.secretGeneration,
		arrival: inbox.Arrival{
			ID: rq.id, WorkspaceID: p.workspaceID, KeyID: p.key.ID, Generation: p.generation(), Method: c.method,
			Status: 200, Scheme: p.key.Scheme, Endpoint: rq.route.endpoint, Address: address,
			UserAgent:   clean(rq.header.Get("User-Agent"), maxHeaderText),
			ContentType: clean(rq.header.Get("Content-Type"), maxRef),
			Headers:     keptHeaders(rq.header), Source: p.key.Source, Signature: c.signatureRaw,
			Body: rq.body, BodySize: rq.bodySize, ReceivedAt: rq.receivedAt, Began: rq.began,
		},
	}
}

// An event is what makes two requests the same.
type event struct {
	source   string
	ref      string // "": each request is new
	unsigned bool   // ref came in a header, which no signature covers
}

// admit applies the key's rules and reads the event from the request. If it
// refuses, p has the reason, and detail may say more than the reason does.
func (h *Handler) admit(rq *request, c credentials, p *proof) (e event, detail string) {
	switch {
	case p.reason != "":
		return event{}, ""
	case p.key.ID == uuid.Nil:
		p.refuse(inbox.NoCredentials)
		return event{}, ""
	case p.key.RequireSignature && p.secretGeneration == 0:
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
		e, err = hookEvent(rq, p.key.RefPointer)
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
	if (e.ref == "" || e.unsigned) && p.key.IdenticalBodies == "duplicate" {
		sum := sha256.Sum256(rq.body)
		e.ref = bodyRefPrefix + hex.EncodeToString(sum[:])
	}
	return e, ""
}

// bodyReason tells what is wrong with a body, in words for its sender.
func bodyReason(err error) (inbox.Reason, string) {
	if wrong, ok := errors.AsType[fieldErrors](err); ok {
		return inbox.InvalidField, wrong.Error()
	}
	return inbox.InvalidJSON, "The body is not the JSON that is expected: " + err.Error() + "."
}

// signalEvent reads a payload to /api/webhooks/signals. With the key in the URL
// a body that is not declared as JSON is the verbatim itself.
func signalEvent(rq *request) (event, error) {
	if rq.route.endpoint == signalsURLEndpoint && !isJSON(rq.header.Get("Content-Type")) {
		switch {
		case !utf8.Valid(rq.body) || strings.ContainsRune(string(rq.body), 0):
			return event{}, &jsonError{invalidAt(rq.body), "text that is not UTF-8, or a NUL,"}
		case strings.TrimSpace(string(rq.body)) == "":
			return event{}, fieldErrors{{"verbatim", "must not be blank"}}
		}
		return event{}, nil
	}
	payload, err := readEnvelope(rq.body)
	return event{source: payload.source, ref: payload.sourceRef}, err
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}

// hookEvent reads the ref of a request to /hooks: the header's, else what the
// key's pointer finds in the body.
func hookEvent(rq *request, pointer string) (event, error) {
	const header = "Idempotency-Key"
	if values := rq.header.Values(header); len(values) > 1 {
		return event{}, fieldErrors{{header, "must be sent once"}}
	}
	if ref := rq.header.Get(header); ref != "" {
		if !utf8.ValidString(ref) {
			return event{}, fieldErrors{{header, "must be UTF-8"}}
		}
		if what := wrongPresentedRef(ref); what != "" {
			return event{}, fieldErrors{{header, what}}
		}
		return event{ref: ref, unsigned: true}, nil
	}
	if pointer == "" {
		return event{}, nil
	}
	ref, err := refAt(rq.body, pointer)
	return event{ref: ref}, err
}
