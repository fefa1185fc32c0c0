package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// A Ledger is a file of checkpoints outside the database, a line of JSON each.
type Ledger struct{ Path string }

// CatchUp appends the stored checkpoints that the file has not. What it holds is
// never changed, apart from a last line that a crash left torn.
func (l Ledger) CatchUp(ctx context.Context, store *Store) error {
	file, err := os.OpenFile(l.Path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open the file of checkpoints: %w", err)
	}
	defer file.Close()
	last, held, end, err := readLedger(file)
	if err != nil {
		return fmt.Errorf("%s: %w", l.Path, err)
	}
	if err := file.Truncate(end); err != nil {
		return fmt.Errorf("mend the file of checkpoints: %w", err)
	}
	if _, err := file.Seek(end, io.SeekStart); err != nil {
		return fmt.Errorf("append to the file of checkpoints: %w", err)
	}
	after := last.Number
	if known, err := store.holds(ctx, last); err != nil {
		return err
	} else if !known {
		after = 0 // the database was restored, and numbers come again
	}
	out := bufio.NewWriter(file)
	err = store.Checkpoints(ctx, after, func(point Checkpoint) error {
		if held[string(point.Signature)] {
			return nil
		}
		return json.NewEncoder(out).Encode(point)
	})
	if err != nil {
		return err
	}
	if err := errors.Join(out.Flush(), file.Sync()); err != nil {
		return fmt.Errorf("append to the file of checkpoints: %w", err)
	}
	return nil
}

// readLedger returns the last whole line's checkpoint, the signatures of all, and
// where that line ends.
func readLedger(file io.Reader) (last Checkpoint, held map[string]bool, end int64, err error) {
	held = map[string]bool{}
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return last, held, end, nil
		}
		if err != nil {
			return last, nil, 0, err
		}
		end += int64(len(line))
		var point Checkpoint
		if json.Unmarshal(line, &point) == nil {
			last = Checkpoint{Number: point.Number, Signature: point.Signature}
			held[string(point.Signature)] = true
		}
	}
}

// A Poster sends checkpoints to an address that somebody else keeps.
type Poster struct {
	URL    string
	Client *http.Client
}

// NewPoster returns a Poster with limits on time. It follows no redirect: the
// address was chosen by hand, and another one was not.
func NewPoster(address string) *Poster {
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Poster{URL: address, Client: &http.Client{Timeout: 10 * time.Second, CheckRedirect: refuse}}
}

// Post sends one. Sent again it is the same: it has a number. The error does not
// hold the address, which may hold a secret.
func (p *Poster) Post(ctx context.Context, point Checkpoint) error {
	text, err := json.Marshal(point)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(text))
	if err != nil {
		return errors.New("post a checkpoint: the address can't be used")
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := p.Client.Do(request)
	if failure, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("post checkpoint %d: %w", point.Number, failure.Err)
	}
	if err != nil {
		return fmt.Errorf("post checkpoint %d: %w", point.Number, err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10) // so that the connection can be used again
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("post checkpoint %d: the answer was %d", point.Number, response.StatusCode)
	}
	return nil
}
