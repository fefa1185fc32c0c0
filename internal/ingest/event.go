package ingest

import (
	"errors"
	"mime"
	"strings"
	"unicode/utf8"

	"keyhook/internal/inbox"
	"keyhook/internal/signature"
)

// An event is what makes two requests the same.
type event struct {
	source    string
	ref       string // "": each request is new
	unsigned  bool   // ref came in a header, which no signature covers
	kind      string // as the sender names it
	handshake *handshake
}

// A handshake is a provider's question whether the address is meant for it.
type handshake struct{ name, value string }

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

// hookEvent reads what a request to /hooks says of its event, in the way of the
// key's scheme. What is proved is known by then.
func hookEvent(rq *request, p *proof) (event, error) {
	scheme, _ := signature.Find(p.key.Scheme) // verify has found it
	e, err := headerEvent(rq, scheme, p.presented)
	if err != nil {
		return event{}, err
	}
	pointer := scheme.Ref.Pointer
	if scheme.Ref.ByKey && e.ref == "" {
		pointer = p.key.RefPointer
	}
	if pointer == "" && len(scheme.EventType.Pointers) == 0 {
		return e, nil
	}
	body, err := parseJSON(rq.body)
	if err != nil {
		if pointer != "" && (scheme.Ref.ByKey || isJSON(rq.header.Get("Content-Type"))) {
			return event{}, err
		}
		return e, nil // what is not JSON has no ref
	}
	return bodyEvent(e, body, scheme, pointer)
}

// headerEvent reads the ref and the kind that the headers name.
func headerEvent(rq *request, scheme *signature.Scheme, presented signature.Presented) (e event, err error) {
	if name := scheme.EventType.Header; name != "" {
		e.kind = clean(rq.header.Get(name), maxRef)
	}
	if scheme.Ref.Signed && presented.ID != "" {
		if what := wrongPresentedRef(presented.ID); what != "" {
			return event{}, fieldErrors{{scheme.Ref.Headers[0], what}}
		}
		e.ref = presented.ID
		return e, nil
	}
	for _, name := range scheme.Ref.Headers {
		values := rq.header.Values(name)
		switch {
		case len(values) > 1:
			return event{}, fieldErrors{{name, "must be sent once"}}
		case len(values) == 0 || values[0] == "":
			continue
		case !utf8.ValidString(values[0]):
			return event{}, fieldErrors{{name, "must be UTF-8"}}
		}
		if what := wrongPresentedRef(values[0]); what != "" {
			return event{}, fieldErrors{{name, what}}
		}
		e.ref, e.unsigned = values[0], true
		return e, nil
	}
	return e, nil
}

// bodyEvent adds what the body says: the ref, the kind, and whether it is the
// provider's handshake.
func bodyEvent(e event, body jsonValue, scheme *signature.Scheme, pointer string) (event, error) {
	for _, pointer := range scheme.EventType.Pointers {
		if value, found := follow(body, pointer); found && value.kind == jsonString {
			e.kind = clean(value.text, maxRef)
			break
		}
	}
	if hs := scheme.Handshake; hs != nil {
		if value, found := follow(body, hs.Pointer); found && value.kind == jsonString && value.text == hs.Value {
			echo, _ := body.member(hs.Echo)
			if what := isRef(echo); what != "" {
				return event{}, fieldErrors{{hs.Echo, what}}
			}
			e.handshake = &handshake{hs.Echo, echo.text}
			return e, nil
		}
	}
	if pointer == "" {
		return e, nil
	}
	ref, err := refIn(body, pointer)
	e.ref = ref
	return e, err
}
