package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// idsIn finds the signals' ids without decoding the page: the generator shares the
// machine with what is measured.
func idsIn(text []byte) (ids [][]byte) {
	const mark = `,"cursor":"` // behind each id; the page's own cursor stands behind the signals
	const before = len(`{"id":"`) + 36 + 1
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte(mark))
		if i < 0 {
			return ids
		}
		at += i
		if at >= before && bytes.HasPrefix(text[at-before:], []byte(`{"id":"`)) {
			ids = append(ids, text[at-37:at-1])
		}
		at += len(mark)
	}
}

// reader takes answers as they are, a page in few pieces.
var reader = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16, ReadBufferSize: 64 << 10}}

func ask(ctx context.Context, url, token string) (cursor string, body io.ReadCloser, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := reader.Do(request)
	if err != nil {
		return "", nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		response.Body.Close()
		return "", nil, fmt.Errorf("the answer is %s: %s", response.Status, text)
	}
	return response.Header.Get("Keyhook-Cursor"), response.Body, nil
}

// LatencyFigures are the times from a commit to a reader that waits.
type LatencyFigures struct {
	Events    int     `json:"events"`
	PerSecond float64 `json:"events_per_second"`
	PollP50   float64 `json:"poll_p50_ms"`
	PollP99   float64 `json:"poll_p99_ms"`
	StreamP50 float64 `json:"stream_p50_ms"`
	StreamP99 float64 `json:"stream_p99_ms"`
}

// Latency commits events at a rate and measures how long after each commit a long
// poll and a stream have it. commit stores one event and returns its id.
func Latency(ctx context.Context, base, token string, rate int, seconds float64, commit func(context.Context) (string, error)) (f LatencyFigures, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	poll, stream := &arrivals{at: map[string]time.Time{}}, &arrivals{at: map[string]time.Time{}}
	start, body, err := ask(ctx, base+"/api/v1/signals?after=latest", token)
	if err != nil {
		return f, err
	}
	body.Close()
	var reading sync.WaitGroup
	failures := make(chan error, 2)
	reading.Go(func() { failures <- poll.follow(ctx, base, token, start) })
	reading.Go(func() { failures <- stream.listen(ctx, base, token, start) })
	committed, elapsed, err := commitAtRate(ctx, rate, seconds, commit)
	if err != nil {
		return f, err
	}
	for began := time.Now(); time.Since(began) < 10*time.Second && (poll.count() < len(committed) || stream.count() < len(committed)); {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	reading.Wait()
	f.Events, f.PerSecond = len(committed), float64(len(committed))/elapsed.Seconds()
	if poll.count() < len(committed) || stream.count() < len(committed) {
		return f, fmt.Errorf("of %d events %d came by long poll and %d by stream: %w", len(committed), poll.count(), stream.count(), <-failures)
	}
	f.PollP50, f.PollP99 = poll.quantiles(committed)
	f.StreamP50, f.StreamP99 = stream.quantiles(committed)
	return f, nil
}

// commitAtRate commits events one by one from several connections, at a rate in
// all, and returns when each was committed.
func commitAtRate(ctx context.Context, rate int, seconds float64, commit func(context.Context) (string, error)) (map[string]time.Time, time.Duration, error) {
	const connections = 8
	var lock sync.Mutex
	var first error
	committed := map[string]time.Time{}
	began := time.Now()
	var committing sync.WaitGroup
	for c := range connections {
		committing.Go(func() {
			each := time.Second * connections / time.Duration(rate)
			next := began.Add(each * time.Duration(c) / connections)
			for next.Sub(began).Seconds() < seconds && ctx.Err() == nil {
				time.Sleep(time.Until(next))
				next = next.Add(each)
				id, err := commit(ctx)
				lock.Lock()
				if err != nil && first == nil {
					first = err
				}
				committed[id] = time.Now()
				lock.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	committing.Wait()
	return committed, time.Since(began), first
}

// arrivals are when a reader had each signal.
type arrivals struct {
	lock sync.Mutex
	at   map[string]time.Time
}

func (a *arrivals) count() int {
	a.lock.Lock()
	defer a.lock.Unlock()
	return len(a.at)
}

func (a *arrivals) add(id string, at time.Time) {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.at[id] = at
}

func (a *arrivals) quantiles(committed map[string]time.Time) (p50, p99 float64) {
	var all []time.Duration
	for id, at := range committed {
		all = append(all, max(0, a.at[id].Sub(at)))
	}
	slices.Sort(all)
	return ms(all[len(all)/2]), ms(all[min(len(all)-1, len(all)*99/100)])
}

func (a *arrivals) follow(ctx context.Context, base, token, after string) error {
	for ctx.Err() == nil {
		next, body, err := ask(ctx, base+"/api/v1/signals?limit=1000&wait=25&after="+after, token)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(body)
		body.Close()
		if err != nil {
			return err
		}
		at := time.Now()
		for _, id := range idsIn(text) {
			a.add(string(id), at)
		}
		after = next
	}
	return ctx.Err()
}

func (a *arrivals) listen(ctx context.Context, base, token, after string) error {
	_, body, err := ask(ctx, base+"/api/v1/signals/stream?after="+after, token)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewReaderSize(body, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var signal struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal([]byte(data), &signal); err != nil {
				return err
			}
			a.add(signal.ID, time.Now())
		}
	}
}
