package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"keyhook/internal/fault"
	"keyhook/internal/inbox"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
	"keyhook/internal/seal"
)

const (
	writers       = 2 // of accepted requests; while one commits, the batch of the other gathers
	maxQueue      = 4096
	maxBatch      = 256
	maxBatchBytes = 8 << 20
	maxRetries    = 3
	commitWithin  = 5 * time.Second

	// A batch waits for more until half of the requests in flight have arrived, but
	// no longer than half of what a batch takes to commit, within these bounds. A
	// lone request waits for nobody.
	minLinger = 500 * time.Microsecond
	maxLinger = 4 * time.Millisecond

	// Refused requests have a writer of their own, so that a flood of them does not
	// hold up the others. A 401 takes its time anyway, so their batches may gather.
	refusedLinger = 5 * time.Millisecond
)

// A submission is a request on its way to the inbox.
type submission struct {
	arrival inbox.Arrival
	key     keyring.Key // as it was checked; ID Nil: none could be told
}

// written is what became of a submission.
type written struct {
	inbox.Result
	allowance *keyring.Allowance // of a key with a limit
	over      bool               // of its allowance: nothing was stored
}

// A pending submission is waited for until its deadline.
type pending struct {
	submission
	deadline time.Time
	done     chan<- outcome
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
	inbox    *inbox.Appender
	metrics  *Metrics
	log      *slog.Logger
	discards bool

	accepted, refused chan pending
	inFlight          atomic.Int64 // requests to be accepted that are not answered yet
	commitTime        atomic.Int64 // what a batch took lately, nanoseconds
}

// NewWriter returns a Writer to db, the ingestion pool.
func NewWriter(db *postgres.DB, box *seal.Box, metrics *Metrics, log *slog.Logger) *Writer {
	w := &Writer{
		db: db, inbox: inbox.NewAppender(box), metrics: metrics, log: log,
		accepted: make(chan pending, maxQueue), refused: make(chan pending, maxQueue),
	}
	metrics.watch(w)
	return w
}

var (
	errFull    = fault.New(fault.Busy, "Keyhook is receiving more than it can store.")
	errTooLate = fault.New(fault.Busy, "Keyhook could not store this in time.")
	errStopped = fault.New(fault.Busy, "Keyhook is shutting down.")
)

// Write returns once s is committed, or could not be. It does not wait for room
// in a full queue. After an error s may still be committed.
func (w *Writer) Write(s submission, deadline time.Time) (written, error) {
	if w.discards {
		return discard(s)
	}
	queue := w.accepted
	if s.arrival.Reason != "" {
		queue = w.refused
	}
	done := make(chan outcome, 1)
	select {
	case queue <- pending{s, deadline, done}:
	default:
		return written{}, errFull
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case o := <-done:
		return o.written, o.err
	case <-timer.C:
		return written{}, errTooLate
	}
}

// Run commits submissions until ctx is done. Cancel ctx only when no request is
// in flight: what is still in a queue then is refused.
func (w *Writer) Run(ctx context.Context) {
	var running sync.WaitGroup
	for range writers {
		running.Go(func() { w.work(ctx, w.gatherAccepted) })
	}
	running.Go(func() { w.work(ctx, w.gatherRefused) })
	running.Wait()
	for {
		select {
		case p := <-w.accepted:
			p.done <- outcome{err: errStopped}
		case p := <-w.refused:
			p.done <- outcome{err: errStopped}
		default:
			return
		}
	}
}

func (w *Writer) work(ctx context.Context, gather func(context.Context) []pending) {
	for ctx.Err() == nil {
		batch := gather(ctx)
		if len(batch) == 0 {
			continue
		}
		w.metrics.batches.Observe(float64(len(batch)))
		w.commit(ctx, batch, 0)
	}
}

func (w *Writer) gatherAccepted(ctx context.Context) []pending {
	return gather(ctx, w.accepted, w.linger(), func() int { return int(w.inFlight.Load() / 2) })
}

func (w *Writer) linger() time.Duration {
	return min(max(time.Duration(w.commitTime.Load())/2, minLinger), maxLinger)
}

// took moves the time that a batch takes after what one took now. Two writers may
// lose each other's figure: it is only a measure.
func (w *Writer) took(d time.Duration) {
	w.metrics.commits.Observe(d.Seconds())
	former := w.commitTime.Load()
	w.commitTime.Store(former + (int64(d)-former)/8)
}

func (w *Writer) gatherRefused(ctx context.Context) []pending {
	return gather(ctx, w.refused, refusedLinger, func() int { return maxBatch })
}

// gather waits for a submission and returns it with what comes within the time to
// linger, until there are enough or as many as a batch may have. Those whose
// sender was answered already are left out: they asked too long ago.
func gather(ctx context.Context, queue <-chan pending, linger time.Duration, enough func() int) (batch []pending) {
	size := 0
	add := func(p pending) {
		if time.Now().After(p.deadline) {
			p.done <- outcome{err: errTooLate}
			return
		}
		batch, size = append(batch, p), size+len(p.arrival.Body)
	}
	select {
	case <-ctx.Done():
		return nil
	case p := <-queue:
		add(p)
	}
	var late <-chan time.Time
	for len(batch) < maxBatch && size < maxBatchBytes {
		select {
		case p := <-queue:
			add(p)
			continue
		default:
		}
		if len(batch) >= enough() {
			break
		}
		if late == nil {
			late = time.After(linger)
		}
		select {
		case p := <-queue:
			add(p)
		case <-late:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// commit stores a batch and tells those who wait. A batch that fails as a whole
// is tried again in halves, so that one sender's trouble is not another's.
func (w *Writer) commit(ctx context.Context, batch []pending, tries int) {
	results, err := w.store(ctx, batch)
	switch {
	case err == nil:
		for i, p := range batch {
			p.done <- outcome{written: results[i]}
		}
	case isPassing(err) && tries < maxRetries:
		w.metrics.retries.Inc()
		w.commit(ctx, batch, tries+1)
	case isRowTrouble(err) && len(batch) > 1:
		w.metrics.retries.Inc()
		half := len(batch) / 2
		w.commit(ctx, batch[:half], 0)
		w.commit(ctx, batch[half:], 0)
	default:
		w.metrics.failures.Add(float64(len(batch)))
		for _, p := range batch {
			p.done <- outcome{err: err}
		}
	}
}

// store commits a batch in one transaction. A panic in it must not end the
// worker.
func (w *Writer) store(ctx context.Context, batch []pending) (results []written, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			w.log.Error("the writer panicked", "panic", cause, "stack", string(debug.Stack()))
			err = fmt.Errorf("the writer panicked: %w", errRow)
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
	defer cancel()
	began := time.Now()
	err = w.db.InTx(ctx, func(tx *sqlx.Tx) error {
		allowed, places, spent, err := spend(ctx, tx, batch)
		if err != nil {
			return err
		}
		stored, err := w.inbox.Append(ctx, tx, allowed)
		if err != nil {
			return err
		}
		results = spent
		for i, place := range places {
			results[place].Result = stored[i]
		}
		return nil
	})
	w.took(time.Since(began))
	return results, err
}

// errRow is trouble that one member of a batch makes.
var errRow = errors.New("a request could not be stored")

// isPassing reports whether the same batch may well succeed at once: a deadlock,
// a serialization failure, an event that a retention run removed meanwhile.
func isPassing(err error) bool {
	code := postgres.Code(err)
	return code == "40001" || code == "40P01" || errors.Is(err, inbox.ErrTryAgain)
}

// isRowTrouble reports whether the server was there and refused: then a smaller
// batch may go through. A COMMIT that was not answered is never repeated, and a
// lock that did not come in time would not come sooner for less.
func isRowTrouble(err error) bool {
	if errors.Is(err, postgres.ErrOutcomeUnknown) {
		return false
	}
	switch code := postgres.Code(err); code {
	case "55P03", "57014", "57P01", "57P02", "57P03":
		return false
	default:
		return code != "" || errors.Is(err, errRow)
	}
}
