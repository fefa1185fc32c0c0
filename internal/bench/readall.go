package bench

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// ReadFigures are what reading signals by cursor gave. Processor times are µs a
// signal.
type ReadFigures struct {
	Signals     int     `json:"signals"`
	Seconds     float64 `json:"seconds"`
	PerSecond   float64 `json:"signals_per_second"`
	BodyBytes   int     `json:"body_bytes"`
	Server      float64 `json:"server_cpu_us"`
	Database    float64 `json:"database_cpu_us"`
	Reader      float64 `json:"reader_cpu_us"`
	MemoryFrom  int64   `json:"resident_bytes_before"`
	MemoryAfter []int64 `json:"resident_bytes"` // after each tenth
	MemoryPeak  int64   `json:"resident_bytes_peak"`
}

// A Place is one server whose figures are taken while it is read from.
type Place struct {
	URL, Token string
	Server     int // process ids
	Database   int
	Self       int
}

// ReadAll follows the cursor of a list in pages of 1,000 from the oldest signal to
// the last, asking for the next page as soon as the header tells where it begins.
// It returns the signals' ids as they came, for the caller to hold against the rows.
func ReadAll(ctx context.Context, at Place, want int) (f ReadFigures, ids [][16]byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if f.MemoryFrom, err = residentMemory(at.Server); err != nil {
		return f, nil, err
	}
	before, err := at.times()
	if err != nil {
		return f, nil, err
	}
	answers := make(chan answered)
	var page bytes.Buffer
	ids = make([][16]byte, 0, want)
	began := time.Now()
	go askAll(ctx, at, answers)
	for answer := range answers {
		if answer.err != nil {
			return f, nil, answer.err
		}
		page.Reset()
		_, err := page.ReadFrom(answer.body)
		answer.body.Close()
		if err != nil {
			return f, nil, err
		}
		if ids, err = addIDs(ids, page.Bytes()); err != nil {
			return f, nil, err
		}
		if err := f.remember(at.Server, len(ids), want); err != nil {
			return f, nil, err
		}
	}
	f.Signals, f.Seconds = len(ids), time.Since(began).Seconds()
	f.PerSecond = float64(f.Signals) / f.Seconds
	after, err := at.times()
	if err != nil {
		return f, nil, err
	}
	each := func(i int) float64 { return float64((after[i] - before[i]).Microseconds()) / float64(max(1, len(ids))) }
	f.Server, f.Database, f.Reader = each(0), each(1), each(2)
	return f, ids, ctx.Err()
}

func (at Place) times() (times [3]time.Duration, err error) {
	if times[0], err = processorTime(at.Server); err != nil {
		return times, err
	}
	if times[1], err = treeTime(at.Database); err != nil {
		return times, err
	}
	times[2], err = processorTime(at.Self)
	return times, err
}

// remember notes the server's memory after each page, and keeps each tenth's.
func (f *ReadFigures) remember(pid, have, want int) error {
	memory, err := residentMemory(pid)
	if err != nil {
		return err
	}
	f.MemoryPeak = max(f.MemoryPeak, memory)
	if len(f.MemoryAfter) < 10 && have*10 >= want*(len(f.MemoryAfter)+1) {
		f.MemoryAfter = append(f.MemoryAfter, memory)
	}
	return nil
}

// An answered request is one whose headers have come.
type answered struct {
	body io.ReadCloser
	err  error
}

// askAll asks for page after page until one does not go on; on another connection
// each time, because the page before is still being read from its own.
func askAll(ctx context.Context, at Place, answers chan<- answered) {
	defer close(answers)
	for after := ""; ; {
		next, body, err := ask(ctx, at.URL+"/api/v1/signals?limit=1000&after="+after, at.Token)
		select {
		case answers <- answered{body, err}:
		case <-ctx.Done():
			if err == nil {
				body.Close()
			}
			return
		}
		if err != nil || next == after {
			return
		}
		after = next
	}
}

// addIDs adds the ids of a page's signals.
func addIDs(ids [][16]byte, text []byte) ([][16]byte, error) {
	for _, id := range idsIn(text) {
		var raw [16]byte
		var digits [32]byte
		plain := append(append(append(append(append(digits[:0], id[:8]...), id[9:13]...), id[14:18]...), id[19:23]...), id[24:]...)
		if _, err := hex.Decode(raw[:], plain); err != nil {
			return ids, fmt.Errorf("the id %s: %w", id, err)
		}
		ids = append(ids, raw)
	}
	return ids, nil
}
