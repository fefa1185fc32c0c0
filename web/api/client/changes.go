package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// A Change is what became of signals after they could be read.
type Change struct {
	Cursor    string    `json:"cursor"`
	Change    string    `json:"change"` // marked, unmarked or erased
	ChangedAt time.Time `json:"changedAt"`
	Mark      *Mark     `json:"mark"`    // of marked and unmarked
	Erasure   *Erasure  `json:"erasure"` // of erased
}

// A Mark is about the signals of a key in a range of time.
type Mark struct {
	ID         string    `json:"id"`
	Key        string    `json:"key"`
	Address    string    `json:"address"`    // "": from any
	Generation int       `json:"generation"` // 0: with any
	From       time.Time `json:"from"`
	Until      time.Time `json:"until"` // not in it
	Reason     string    `json:"reason"`
}

// An Erasure took the bodies of all signals with one source ref.
type Erasure struct {
	ID        string `json:"id"`
	Source    string `json:"source"` // "": of any
	SourceRef string `json:"sourceRef"`
	Reason    string `json:"reason"`
}

// Changes returns what became of signals behind a cursor, and the next cursor; ""
// is the beginning. No changes and the same cursor is the end.
func (c *Client) Changes(ctx context.Context, after string) (changes []Change, cursor string, err error) {
	text, err := c.get(ctx, "/api/v1/changes?"+url.Values{"after": {after}, "limit": {"1000"}}.Encode())
	if err != nil {
		return nil, "", err
	}
	var page struct {
		Changes []Change `json:"changes"`
		Cursor  string   `json:"cursor"`
	}
	if err := json.Unmarshal(text, &page); err != nil {
		return nil, "", fmt.Errorf("keyhook: read changes: %w", err)
	}
	return page.Changes, page.Cursor, nil
}

// Marked returns ids of the signals that a mark is about behind one of them; "" is
// the beginning, none is the end.
func (c *Client) Marked(ctx context.Context, mark, after string) (ids []string, err error) {
	text, err := c.get(ctx, "/api/v1/marks/"+url.PathEscape(mark)+"/signals?"+url.Values{"after": {after}, "limit": {"10000"}}.Encode())
	if err != nil {
		return nil, err
	}
	var page struct {
		IDs []string `json:"ids"`
	}
	if err := json.Unmarshal(text, &page); err != nil {
		return nil, fmt.Errorf("keyhook: read a mark: %w", err)
	}
	return page.IDs, nil
}
