package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyhook/internal/inbox"
	"keyhook/internal/postgres"
)

// A Console is asked for pages as a member does, and the database for the same by
// raw SQL.
type Console struct {
	Client    *http.Client
	Events    *inbox.Store
	Workspace uuid.UUID
	Keys      []uuid.UUID
	Requests  int // of each sort

	base   string
	server *http.Server
	raw    *postgres.DB
	listed []sample // values to filter by
}

// Serve serves the console until it is closed.
func Serve(handler http.Handler, raw *postgres.DB) (*Console, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Console{base: "http://" + listener.Addr().String(), server: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}, raw: raw}
	go c.server.Serve(listener)
	return c, nil
}

// At is a console that another process serves.
func At(base string) *Console { return &Console{base: base} }

// Close ends the server.
func (c *Console) Close() error { return c.server.Close() }

// OpenTails opens live tails with these filters in turns, until the returned function
// is called, which says how many batches of rows they got together.
func (c *Console) OpenTails(ctx context.Context, n int, filters []string) (end func() (batches int, err error), err error) {
	return openEvents(ctx, c.Client, n, "event: rows", func(i int, _ *http.Request) string {
		return c.base + "/w/bench/deliveries/tail?" + filters[i%len(filters)]
	})
}

// SignIn sends the form.
func (c *Console) SignIn(ctx context.Context, form url.Values) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/sign-in", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.Client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("sign in: %s", response.Status)
	}
	_, _, err = c.get(ctx, "/keys")
	return err
}

// get asks for a page of the workspace and returns how long it took.
func (c *Console) get(ctx context.Context, path string) (took time.Duration, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/w/bench"+path, nil)
	if err != nil {
		return 0, "", err
	}
	began := time.Now()
	response, err := c.Client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	took = time.Since(began)
	if err == nil && (response.StatusCode != http.StatusOK || response.Request.URL.Path != strings.Split("/w/bench"+path, "?")[0]) {
		err = fmt.Errorf("%s: %s at %s", path, response.Status, response.Request.URL.Path)
	}
	return took, string(text), err
}
