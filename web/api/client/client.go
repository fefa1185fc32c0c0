// Package client reads the signals of a Keyhook workspace: each once, in order,
// from where it was left off.
//
//	keyhook := client.New("https://keyhook.example", os.Getenv("KEYHOOK_TOKEN"))
//	err := keyhook.Follow(ctx, cursor, func(ctx context.Context, page client.Page) error {
//		// Deal with page.Signals, then store page.Cursor beside what came of them.
//		return nil
//	})
//
// It depends on nothing but the standard library.
package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Limits of one request.
const (
	MaxLimit = 1000
	MaxWait  = 30 * time.Second
)

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// A Client reads with one token. Its fields may be changed before it is used.
type Client struct {
	HTTP  *http.Client
	Limit int           // signals in a page, at most
	Wait  time.Duration // for the first signal, in one request
	Retry func(err error, tries int, pause time.Duration)

	base, token string
}

// New returns a Client of the Keyhook at base with a token, kht_ and 38 characters.
func New(base, token string) *Client {
	return &Client{HTTP: http.DefaultClient, Limit: MaxLimit, Wait: 25 * time.Second, base: base, token: token}
}

// A Page is some signals in order, and the cursor to go on with.
type Page struct {
	Signals []Signal `json:"signals"`
	Cursor  string   `json:"cursor"`
}

// A Signal is one event.
type Signal struct {
	ID          string            `json:"id"`
	Cursor      string            `json:"cursor"`
	Key         string            `json:"key"` // "" once the key is gone
	Source      string            `json:"source"`
	SourceRef   string            `json:"sourceRef"` // "": the sender gave none
	EventType   string            `json:"eventType"`
	Auth        Auth              `json:"auth"`
	ReceivedAt  time.Time         `json:"receivedAt"`
	ContentType string            `json:"contentType"`
	Headers     map[string]string `json:"headers"`
	Body        Body              `json:"-"`
	BodyGone    bool              `json:"-"`       // every reader had read it, and the key's log does not keep it: Body is nil
	SHA256      string            `json:"sha256"`  // of the raw body
	Suspect     *Suspect          `json:"suspect"` // nil: it was not marked when this was read; see [Client.Changes]
	Erased      *Erased           `json:"erased"`  // nil: its body and headers are there
}

// Suspect is why a signal is marked as one that may not be genuine.
type Suspect struct {
	Reason   string    `json:"reason"`
	MarkedAt time.Time `json:"markedAt"`
}

// Erased is why a signal has no body and no headers any more.
type Erased struct {
	Reason   string    `json:"reason"`
	ErasedAt time.Time `json:"erasedAt"`
}

// Auth is how the sender proved itself.
type Auth struct {
	Method     string `json:"method"`
	Generation int    `json:"generation"`
}

// A Body is the bytes of an event. One that is JSON may differ from what was sent
// in line breaks; see [Client.RawBody].
type Body []byte

// UnmarshalJSON reads a signal, its body decoded.
func (s *Signal) UnmarshalJSON(text []byte) error {
	type plain Signal
	whole := struct {
		*plain
		Body         json.RawMessage `json:"body"`
		BodyEncoding string          `json:"bodyEncoding"`
		BodyKept     *bool           `json:"bodyKept"`
	}{plain: (*plain)(s)}
	if err := json.Unmarshal(text, &whole); err != nil {
		return err
	}
	if s.BodyGone = whole.BodyKept != nil && !*whole.BodyKept; s.BodyGone || s.Erased != nil {
		s.Body = nil
		return nil
	}
	s.Body = Body(whole.Body)
	switch whole.BodyEncoding {
	case "":
		return nil
	case "base64":
		var encoded string
		if err := json.Unmarshal(whole.Body, &encoded); err != nil {
			return err
		}
		var err error
		s.Body, err = base64.StdEncoding.DecodeString(encoded)
		return err
	}
	return fmt.Errorf("keyhook: a body is encoded as %q", whole.BodyEncoding)
}

// An Error is an answer that is not a page.
type Error struct {
	Status       int
	Code         string `json:"code"`
	Detail       string `json:"detail"`
	RequestID    string `json:"requestId"`
	OldestCursor string `json:"oldestCursor"` // of CURSOR_EXPIRED: behind it everything is kept

	retryAfter time.Duration
}

func (e *Error) Error() string {
	return fmt.Sprintf("keyhook: %d %s: %s (request %s)", e.Status, e.Code, e.Detail, e.RequestID)
}

// Expired reports whether err says that signals behind the cursor are gone. Who
// can do without them goes on from oldest.
func Expired(err error) (oldest string, ok bool) {
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusGone && e.OldestCursor != "" {
		return e.OldestCursor, true
	}
	return "", false
}

// List returns the signals behind a cursor, waiting for the first as long as
// c.Wait. "" is the oldest, "latest" the end.
// To come back with a cursor says that everything up to it was dealt with.
func (c *Client) List(ctx context.Context, after string) (Page, error) {
	return c.list(ctx, after, after)
}

// list is List for who has dealt with everything up to read only.
func (c *Client) list(ctx context.Context, after, read string) (page Page, err error) {
	query := url.Values{"limit": {strconv.Itoa(min(max(c.Limit, 1), MaxLimit))}}
	if after != "" {
		query.Set("after", after)
	}
	if read != after {
		query.Set("read", read)
	}
	if seconds := int(min(c.Wait, MaxWait) / time.Second); seconds > 0 {
		query.Set("wait", strconv.Itoa(seconds))
	}
	ctx, cancel := context.WithTimeout(ctx, c.Wait+30*time.Second)
	defer cancel()
	text, err := c.get(ctx, "/api/v1/signals?"+query.Encode())
	if err != nil {
		return Page{}, err
	}
	if err := json.Unmarshal(text, &page); err != nil {
		return Page{}, fmt.Errorf("keyhook: read a page: %w", err)
	}
	return page, nil
}

// Signal returns one signal.
func (c *Client) Signal(ctx context.Context, id string) (signal Signal, err error) {
	text, err := c.get(ctx, "/api/v1/signals/"+url.PathEscape(id))
	if err != nil {
		return Signal{}, err
	}
	if err := json.Unmarshal(text, &signal); err != nil {
		return Signal{}, fmt.Errorf("keyhook: read a signal: %w", err)
	}
	return signal, nil
}

// RawBody returns the bytes of a signal's body as they were sent.
func (c *Client) RawBody(ctx context.Context, id string) ([]byte, error) {
	return c.get(ctx, "/api/v1/signals/"+url.PathEscape(id)+"/body")
}

func (c *Client) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	response, err := c.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return text, nil
	}
	e := &Error{Status: response.StatusCode}
	if json.Unmarshal(text, e) != nil || e.Code == "" {
		e.Detail = http.StatusText(response.StatusCode)
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		e.retryAfter = time.Duration(seconds) * time.Second
	}
	return nil, e
}
