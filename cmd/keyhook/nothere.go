package main

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// notHere answers webhooks on the console's address when ingestion has one of its
// own: with the 404 that ingestion would give, and never with a redirect, on which
// senders stop.
func notHere(hooksBase string) http.Handler {
	const detail = "Webhooks are not received at this address."
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		id := uuid.Must(uuid.NewV7()).String()
		header := w.Header()
		header.Set("X-Request-ID", id)
		header.Set("Content-Type", "application/problem+json")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]any{ // there is nobody left to tell
			"type": hooksBase + "/docs/errors#not-found", "title": "There is no such address", "status": http.StatusNotFound,
			"detail": detail, "error": detail, "code": "NOT_FOUND", "requestId": id,
			"serverTime": time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"),
		})
	})
}
