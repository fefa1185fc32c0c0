package ingest

import (
	"net/http"
	"net/netip"
	"time"
)

// ReadEnvelope, RefAt and ClientAddress are what the tests see of the parsers.
func ReadEnvelope(body []byte) (source, ref string, err error) {
	e, err := readEnvelope(body)
	return e.source, e.sourceRef, err
}

func ParseJSON(body []byte) error {
	_, err := parseJSON(body)
	return err
}

// Strings returns every text of a JSON value, names included.
func Strings(body []byte) []string {
	v, err := parseJSON(body)
	if err != nil {
		return nil
	}
	return v.strings(nil)
}

func (v jsonValue) strings(texts []string) []string {
	if v.kind == jsonString {
		texts = append(texts, v.text)
	}
	for _, e := range v.elements {
		texts = e.strings(texts)
	}
	for _, m := range v.members {
		texts = m.value.strings(append(texts, m.name))
	}
	return texts
}

func RefAt(body []byte, pointer string) (string, error) { return refAt(body, pointer) }

func ClientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	return ClientAddr(r, trusted)
}

func IsFieldError(err error) bool {
	_, ok := err.(fieldErrors)
	return ok
}

// Fill puts as much into the writer's queues as they take.
func (w *Writer) Fill() {
	for range maxQueue {
		w.accepted <- pending{done: make(chan outcome, 1)}
		w.refused <- pending{done: make(chan outcome, 1)}
	}
}

// Waiting is how long the queues are.
func (w *Writer) Waiting() int { return len(w.accepted) + len(w.refused) }

// Try writes an empty submission.
func (w *Writer) Try() error {
	_, err := w.Write(submission{}, time.Now().Add(time.Second))
	return err
}

// OccupyParsers takes every place for large bodies until free is called.
func (h *Handler) OccupyParsers() (free func()) {
	for range cap(h.parsers) {
		h.parsers <- struct{}{}
	}
	return func() {
		for range cap(h.parsers) {
			<-h.parsers
		}
	}
}
