package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"keyhook/web/api/client"
)

// TestFollowTriesAgain: what is over by itself is tried again from the same place,
// what is not ends it.
func TestFollowTriesAgain(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"code":"UNAVAILABLE"}`)
		case 2:
			panic(http.ErrAbortHandler)
		case 3:
			http.Error(w, "a proxy's own page", http.StatusBadGateway)
		case 4:
			fmt.Fprint(w, `{"signals":[`) // cut off
		case 5:
			fmt.Fprint(w, `{"signals":[{"sourceRef":"a","body":1,"cursor":"c1"}],"cursor":"c1"}`)
		case 6:
			fmt.Fprint(w, `{"signals":[],"cursor":"c1"}`)
		default:
			if after := r.URL.Query().Get("after"); after != "c1" {
				t.Errorf("it goes on behind %q", after)
			}
			w.WriteHeader(http.StatusGone)
			fmt.Fprint(w, `{"code":"CURSOR_EXPIRED","detail":"gone","oldestCursor":"c9"}`)
		}
	}))
	defer server.Close()
	c := client.New(server.URL, "kht_x")
	var refs, tries []string
	c.Retry = func(err error, n int, pause time.Duration) { tries = append(tries, fmt.Sprint(n)) }
	err := c.Follow(t.Context(), "", func(_ context.Context, page client.Page) error {
		for _, signal := range page.Signals {
			refs = append(refs, signal.SourceRef)
		}
		return nil
	})
	if oldest, ok := client.Expired(err); !ok || oldest != "c9" || !slices.Equal(refs, []string{"a"}) || len(tries) < 3 { // net/http itself tries one of them again
		t.Errorf("Follow = %v with %v after the tries %v", err, refs, tries)
	}
}

// TestFollowEnds: a context, a handler's error and a token that does not hold end
// it at once.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer kht_good":
			fmt.Fprint(w, `{"signals":[{"body":1,"cursor":"c1"}],"cursor":"c1"}`)
		case "Bearer kht_waits":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code":"UNAUTHORIZED","detail":"no"}`)
		}
	}))
	defer server.Close()
	began, errMine := time.Now(), errors.New("mine")
	if err := client.New(server.URL, "kht_good").Follow(t.Context(), "", func(context.Context, client.Page) error { return errMine }); err != errMine {
		t.Errorf("a handler's error = %v", err)
	}
	var answer *client.Error
	if err := client.New(server.URL, "kht_bad").Follow(t.Context(), "", nil); !errors.As(err, &answer) || answer.Status != 401 {
		t.Errorf("a bad token = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := client.New(server.URL, "kht_waits").Follow(ctx, "", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context that ends = %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it all took %s", took)
	}
}
