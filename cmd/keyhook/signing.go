package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"keyhook/internal/audit"
	"keyhook/internal/config"
	"keyhook/web"
)

// A signing signs checkpoints and takes them out of the database: to the log, to a
// file and, if there is one, to an address.
type signing struct {
	turn   sync.Mutex // of the hourly one and those that people ask for
	store  *audit.Store
	signer *audit.Signer
	ledger audit.Ledger
	poster *audit.Poster // nil: there is no address
	unsent []audit.Checkpoint
	log    *slog.Logger
}

func newSigning(store *audit.Store, c config.Evidence, dataDir string, log *slog.Logger) (*signing, error) {
	if err := makeDataDir(dataDir); err != nil {
		return nil, err
	}
	signer, err := audit.OpenSigner(c.Path(dataDir))
	if err != nil {
		return nil, err
	}
	s := &signing{store: store, signer: signer, ledger: audit.Ledger{Path: ledgerPath(dataDir)}, log: log}
	if c.CheckpointURL != "" {
		s.poster = audit.NewPoster(c.CheckpointURL)
	}
	return s, nil
}

// hourly signs once an hour, whichever instance comes first, and tries again to
// send what could not be sent.
func (s *signing) hourly(ctx context.Context) error {
	_, err := s.sign(ctx, time.Hour)
	return err
}

// evidence is what the console shows of the key, and how it has something signed. A
// checkpoint that can't be posted yet is signed all the same.
func (s *signing) evidence() (web.Evidence, error) {
	public, err := s.signer.PublicPEM()
	sign := func(ctx context.Context) error {
		point, err := s.sign(ctx, 0)
		if point.Signature != nil && err != nil {
			s.log.WarnContext(ctx, "a checkpoint is not where it should go yet", "number", point.Number, "err", err)
			return nil
		}
		return err
	}
	return web.Evidence{KeyID: s.signer.KeyID(), PublicKey: string(public), Sign: sign}, err
}

// maxUnsent bounds what waits for an address that does not answer: the file and the
// database have all of them.
const maxUnsent = 100

// sign signs if it is time, and brings the file and the address up to date. Neither
// waits for the other: where one can't be reached a checkpoint still gets out.
func (s *signing) sign(ctx context.Context, pause time.Duration) (audit.Checkpoint, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	point, signed, lost, err := s.store.Sign(ctx, s.signer, pause)
	if err != nil {
		return point, err
	}
	if len(lost) > 0 {
		s.log.ErrorContext(ctx, "the audit trail is shorter than it was: run keyhook audit verify", "chains", lost)
	}
	if signed {
		digest := sha256.Sum256(point.Encode())
		s.log.InfoContext(ctx, "checkpoint", "number", point.Number, "at", point.At, "chains", len(point.Heads), "key_id", point.KeyID,
			"sha256", hex.EncodeToString(digest[:]), "signature", point.Signature)
		s.unsent = append(s.unsent, point)
	}
	return point, errors.Join(s.ledger.CatchUp(ctx, s.store), s.send(ctx))
}

// send posts what waits, in order, up to the first that can't be.
func (s *signing) send(ctx context.Context) error {
	if s.poster == nil {
		s.unsent = nil
	}
	s.unsent = s.unsent[max(0, len(s.unsent)-maxUnsent):]
	for len(s.unsent) > 0 {
		if err := s.poster.Post(ctx, s.unsent[0]); err != nil {
			return err
		}
		s.unsent = s.unsent[1:]
	}
	return nil
}
