// Package bench measures ingestion on this machine: how fast it is, beside the
// same verification with nothing stored and beside a naive design. It owns no
// table.
//
// Rounds of the three alternate in one run, because machines are noisy, and what
// counts are medians and ratios. Every answer is checked, and in the end the rows.
package bench

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bodySize is how many bytes each request posts.
const bodySize = 1024

// bodyOf makes a body that no other request has: equal ones are another case.
func bodyOf(n int64) []byte {
	body := fmt.Appendf(make([]byte, 0, bodySize), `{"n":%d,"data":"`, n)
	body = append(body, bytes.Repeat([]byte("x"), bodySize-len(body)-2)...)
	return append(body, `"}`...)
}

// A Target is where to send, and how.
type Target struct {
	URL     string
	Headers map[string]string
	Secret  string // to sign each body with; "": it is not signed
}

// post returns a request with a body and a ref that no other has.
func (t Target) post(ctx context.Context) (*http.Request, error) {
	n := refs.Add(1)
	body := bodyOf(n)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range t.Headers {
		request.Header.Set(name, value)
	}
	if t.Secret != "" {
		mac := hmac.New(sha256.New, []byte(t.Secret))
		mac.Write(body)
		request.Header.Set("X-Webhook-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), n))
	return request, nil
}

// check says whether an answer is that of a new event.
func check(response *http.Response) error {
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !strings.Contains(string(answer), `"duplicate":false`) {
		return fmt.Errorf("the answer is %s: %s", response.Status, answer)
	}
	return nil
}

// A load is what one round of sending gave.
type load struct {
	accepted  int64
	elapsed   time.Duration
	latencies []time.Duration // sorted
}

func (l load) rps() float64 { return float64(l.accepted) / l.elapsed.Seconds() }

// quantile returns the latency that a share q of the requests stayed under.
func (l load) quantile(q float64) time.Duration {
	if len(l.latencies) == 0 {
		return 0
	}
	return l.latencies[min(len(l.latencies)-1, int(q*float64(len(l.latencies))))]
}

var refs atomic.Int64

// send keeps a number of connections busy for a time, each request with a ref of
// its own. An answer that is not an acceptance ends it with an error.
func send(ctx context.Context, target Target, connections int, seconds float64) (load, error) {
	transport := &http.Transport{MaxIdleConns: connections, MaxIdleConnsPerHost: connections, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	end := began.Add(time.Duration(seconds * float64(time.Second)))
	parts := make([][]time.Duration, connections)
	var senders sync.WaitGroup
	for i := range connections {
		senders.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				at := time.Now()
				if err := post(ctx, client, target); err != nil {
					cancel(err)
					return
				}
				parts[i] = append(parts[i], time.Since(at))
			}
		})
	}
	senders.Wait()
	all := slices.Concat(parts...)
	slices.Sort(all)
	return load{accepted: int64(len(all)), elapsed: time.Since(began), latencies: all}, context.Cause(ctx)
}

func post(ctx context.Context, client *http.Client, target Target) error {
	request, err := target.post(ctx)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return check(response)
}
