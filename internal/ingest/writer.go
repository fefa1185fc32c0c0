package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

const (
	workers       = 4
	maxQueue      = 1024
	maxBatch      = 64
	maxBatchBytes = 8 << 20
	maxRetries    = 3
	commitWithin  = 5 * time.Second
)

// A submission is a request on its way to the inbox.
type submission struct {
	arrival          inbox.Arrival
	key              keyring.Key // what was known of it when it was looked up; ID Nil: none could be told
	apiKeyGeneration int         // 0: no API key held
	secretGeneration int         // 0: no secret held
}

// written is what became of a submission.
type written struct {
	inbox.Result
	allowance *keyring.Allowance // of a key with a limit
}

// A pending submission is waited for.
type pending struct {
	submission
	done chan<- outcome
}

type outcome struct {
	written
	err error
}

// A Writer commits requests to the inbox many at a time.
//
// While one batch commits, the next gathers behind it, so batches grow with load
// and a lone request is never made to wait.
type Writer struct {
	db       *postgres.DB
	box      *seal.Box
	activity *Activity
	metrics  *Metrics
	log      *slog.Logger
	queue    chan pending
	number   int // of the first worker, in delivery_counts
	discards bool
}

// NewWriter returns a Writer to db, the ingestion pool. It tells activity which
// keys were used.
func NewWriter(db *postgres.DB, box *seal.Box, activity *Activity, metrics *Metrics, log *slog.Logger) *Writer {
	return &Writer{
		db: db, box: box, activity: activity, metrics: metrics, log: log,
		queue: make(chan pending, maxQueue), number: rand.IntN(8000) * workers,
	}
}

var (
	errFull    = fault.New(fault.Busy, "Keyhook is receiving more than it can store.")
	errTooLate = fault.New(fault.Busy, "Keyhook could not store this in time.")
	errStopped = fault.New(fault.Busy, "Keyhook is shutting down.")
)

// Write returns once s is committed, or could not be. It does not wait for room
// in a full queue. After an error s may still be committed.
func (w *Writer) Write(ctx context.Context, s submission) (written, error) {
	if w.discards {
		return discard(s)
	}
	done := make(chan outcome, 1)
	select {
	case w.queue <- pending{s, done}:
		w.metrics.queued.Inc()
	default:
		return written{}, errFull
	}
	select {
	case o := <-done:
		return o.written, o.err
	case <-ctx.Done():
		return written{}, errTooLate
	}
}

// Run commits submissions until ctx is done. Cancel ctx only when no request is
// in flight: what is still in the queue then is refused.
func (w *Writer) Run(ctx context.Context) {
	var running sync.WaitGroup
	for i := range workers {
		running.Go(func() { w.work(ctx, w.number+i) })
	}
	running.Wait()
	for {
		select {
		case p := <-w.queue:
			p.done <- outcome{err: errStopped}
		default:
			return
		}
	}
}

func (w *Writer) work(ctx context.Context, number int) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-w.queue:
			batch := w.gather(first)
			w.metrics.queued.Sub(float64(len(batch)))
			w.metrics.batches.Observe(float64(len(batch)))
			w.commit(ctx, number, batch, 0)
		}
	}
}

// gather returns first and what else is already waiting, as far as one batch may
// go.
func (w *Writer) gather(first pending) []pending {
	batch, size := []pending{first}, len(first.arrival.Body)
	for len(batch) < maxBatch && size < maxBatchBytes {
		select {
		case p := <-w.queue:
			batch, size = append(batch, p), size+len(p.arrival.Body)
		default:
			return batch
		}
	}
	return batch
}

// commit stores a batch and tells those who wait. A batch that fails as a whole
// is tried again in halves, so that one sender's trouble is not another's.
func (w *Writer) commit(ctx context.Context, number int, batch []pending, tries int) {
	results, err := w.store(ctx, number, batch)
	switch {
	case err == nil:
		w.activity.note(results, batch)
		for i, p := range batch {
			p.done <- outcome{written: results[i]}
		}
	case isPassing(err) && tries < maxRetries:
		w.commit(ctx, number, batch, tries+1)
	case isRowTrouble(err) && len(batch) > 1:
		half := len(batch) / 2
		w.commit(ctx, number, batch[:half], 0)
		w.commit(ctx, number, batch[half:], 0)
	default:
		w.metrics.failures.Add(float64(len(batch)))
		for _, p := range batch {
			p.done <- outcome{err: err}
		}
	}
}

// store commits a batch in one transaction. A panic in it must not end the
// worker.
func (w *Writer) store(ctx context.Context, number int, batch []pending) (results []written, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			w.log.Error("the writer panicked", "panic", cause, "stack", string(debug.Stack()))
			err = fmt.Errorf("the writer panicked: %w", errRow)
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
	defer cancel()
	err = w.db.InTx(ctx, func(tx *sqlx.Tx) error {
		arrivals, allowances, err := confirm(ctx, tx, batch)
		if err != nil {
			return err
		}
		stored, err := inbox.Append(ctx, tx, w.box, number, arrivals)
		if err != nil {
			return err
		}
		results = make([]written, len(stored))
		for i := range stored {
			results[i] = written{stored[i], allowances[i]}
		}
		return nil
	})
	return results, err
}

// errRow is trouble that one member of a batch makes.
var errRow = errors.New("a request could not be stored")

// isPassing reports whether the same batch may well succeed at once: a deadlock,
// a serialization failure, an event that a retention run removed meanwhile.
func isPassing(err error) bool {
	code := postgres.Code(err)
	return code == "40001" || code == "40P01" || errors.Is(err, inbox.ErrVanished)
}

// isRowTrouble reports whether the server was there and refused: then a smaller
// batch may go through. A COMMIT that was not answered is never repeated.
func isRowTrouble(err error) bool {
	return !errors.Is(err, postgres.ErrOutcomeUnknown) && (postgres.Code(err) != "" || errors.Is(err, errRow))
}
