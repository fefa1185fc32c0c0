package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"keyhook/internal/postgres"
)

// A Doomed workspace is full, and about to be deleted.
type Doomed struct {
	History
	Erase func(context.Context) error          // goes on with the deletion until it is over
	Left  func(context.Context) (int64, error) // its deliveries
}

// Fill stores the workspace's deliveries, and a signal for each that was accepted.
func (d Doomed) Fill(ctx context.Context, db *postgres.DB, progress io.Writer) error {
	const signals = `
		INSERT INTO signals (id, workspace_id, webhook_key_id, source, source_ref, received_at, epoch)
		SELECT d.id, d.workspace_id, d.webhook_key_id, d.source, d.source_ref, d.received_at, i.epoch FROM deliveries AS d CROSS JOIN instance AS i
		WHERE d.workspace_id = $1 AND d.outcome = 'accepted' ON CONFLICT DO NOTHING`
	if err := d.Make(ctx, db, progress); err != nil {
		return err
	}
	return execute(ctx, db, signals, d.Workspace)
}

// A Deletion is what others' ingestion is like beside one.
type Deletion struct {
	Rows     int64   `json:"rows"` // deliveries of the workspace that goes
	Quiet    Figures `json:"quiet"`
	Beside   Figures `json:"beside"`
	P99Ratio float64 `json:"p99_ratio"`
	Cuts     int     `json:"cuts"`         // how often it was cut off
	PerS     float64 `json:"rows_per_s"`   // that went, beside the load
	Rest     float64 `json:"rest_seconds"` // for what was left, without load
}

// MeasureDeletion measures ingestion in turns: alone, and beside the deletion, which
// is cut off after each of its turns. In the end it is let run out.
func MeasureDeletion(ctx context.Context, design Design, d Doomed, o Options) (found Deletion, err error) {
	if found.Rows, err = d.Left(ctx); err != nil {
		return found, err
	}
	var quiet, beside []Figures
	var busy time.Duration
	for round := range o.Rounds {
		figures, _, err := measure(ctx, design, o.Connections[0], o.Seconds)
		if err != nil {
			return found, err
		}
		quiet = append(quiet, figures)
		began := time.Now()
		if figures, err = d.besides(ctx, design, o); err != nil {
			return found, err
		}
		busy += time.Since(began)
		beside = append(beside, figures)
		left, err := d.Left(ctx)
		if err != nil {
			return found, err
		}
		if left == 0 {
			return found, errors.New("the workspace was gone before the end of the rounds: it needs more deliveries")
		}
		found.Cuts, found.PerS = round+1, float64(found.Rows-left)/busy.Seconds()
		fmt.Fprintf(o.Progress, "round %d: p99 %.2f ms alone, %.2f ms beside; %d deliveries left\n", round+1, quiet[round].P99, figures.P99, left)
	}
	began := time.Now()
	if err := d.Erase(ctx); err != nil {
		return found, err
	}
	found.Rest = time.Since(began).Seconds()
	left, err := d.Left(ctx)
	if err != nil {
		return found, err
	}
	if left != 0 {
		return found, fmt.Errorf("%d deliveries are left", left)
	}
	found.Quiet, found.Beside = median(quiet), median(beside)
	found.P99Ratio = ratio(found.Beside.P99, found.Quiet.P99)
	return found, nil
}

// besides measures one round beside the deletion.
func (d Doomed) besides(ctx context.Context, design Design, o Options) (Figures, error) {
	erasing, cut := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.Erase(erasing) }()
	figures, _, err := measure(ctx, design, o.Connections[0], o.Seconds)
	cut()
	if failed := <-ended; err == nil && failed != nil && erasing.Err() == nil {
		err = failed
	}
	return figures, err
}

// Print writes the figures for people.
func (d Deletion) Print(w io.Writer) {
	fmt.Fprintf(w, "%d deliveries deleted; %.0f a second beside the load, cut off %d times, the rest in %.1f s\n", d.Rows, d.PerS, d.Cuts, d.Rest)
	for _, row := range []struct {
		name string
		f    Figures
	}{{"alone", d.Quiet}, {"beside", d.Beside}} {
		fmt.Fprintf(w, "%-7s %8.0f requests/s, p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms\n", row.name, row.f.RPS, row.f.P50, row.f.P99, row.f.P999)
	}
	fmt.Fprintf(w, "p99 beside a deletion is %.2f times that alone\n", d.P99Ratio)
}
