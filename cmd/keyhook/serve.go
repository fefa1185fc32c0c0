package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/term"

	"keyhook/internal/account"
	"keyhook/internal/audit"
	"keyhook/internal/config"
	"keyhook/internal/evidence"
	"keyhook/internal/inbox"
	"keyhook/internal/ingest"
	"keyhook/internal/keyring"
	"keyhook/internal/mail"
	"keyhook/internal/postgres"
	"keyhook/migrations"
	"keyhook/web"
	"keyhook/web/api"
)

type serveCmd struct {
	config.Database
	config.MasterKey
	config.Evidence
	config.Mail
	config.Serve
	PrintSetupLink bool `help:"Print the set-up link even where the output is no terminal."`

	fixedHost bool // the public URL was set by hand
}

var errDatabaseDied = errors.New("the private PostgreSQL ended; see postgres.log in its folder")

// Run serves until ctx is done or the private database ends.
func (c *serveCmd) Run(ctx context.Context, a app) error {
	if err := c.Serve.Validate(); err != nil {
		return &usageError{err}
	}
	if err := checkMasterKey(c.MasterKey); err != nil {
		return err
	}
	if err := checkEvidence(c.Evidence); err != nil {
		return err
	}
	if _, err := mail.New(c.SMTPURL, c.From); err != nil {
		return &usageError{err}
	}
	log := newLog(a, c.LogFormat)
	db, err := openDatabase(ctx, c.Database, own, log)
	if err != nil {
		return err
	}
	defer db.close(log)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if db.owned != nil {
		go func() {
			<-db.owned.Done()
			cancel(errDatabaseDied)
		}()
	}
	err = c.serve(ctx, a, db, log, nil)
	if cause := context.Cause(ctx); errors.Is(cause, errDatabaseDied) {
		return errDatabaseDied
	}
	return err
}

// A house is everything that serve has put together.
type house struct {
	console, ingestion, reading, maintenance *postgres.DB

	pulse      *postgres.DB // for /readyz alone
	migrations []string     // that the schema must have

	accounts *account.Store
	keys     *keyring.Store
	cache    *keyring.Cache // ingestion's
	writer   *ingest.Writer
	rollup   *ingest.Rollup
	hooks    *ingest.Handler
	upkeep   *inbox.Store   // partitions and retention
	estates  *account.Store // workspaces that are being deleted
	web      *web.Server
	api      *api.Server
	signing  *signing
	verifier *audit.Verifier
	metrics  *prometheus.Registry
	notices  *notices
	draining atomic.Bool
}

// serve prepares the database and runs everything on it until ctx is done. ready,
// if not nil, is called before requests are accepted.
func (c *serveCmd) serve(ctx context.Context, a app, db *database, log *slog.Logger, ready func(*house) error) error {
	saveMemory()
	listeners, err := c.listen(log)
	if err != nil {
		return err
	}
	defer listeners.close()
	h, err := c.build(ctx, db, listeners, log)
	if err != nil {
		return err
	}
	defer h.close()
	c.warn(h, listeners, log)
	c.publish(listeners, log)
	if ready != nil {
		if err := ready(h); err != nil {
			return err
		}
	}
	if err := c.offerSetUp(ctx, a, h, log); err != nil {
		return err
	}

	// A request in flight may be waiting for the writer, so the writer outlives
	// the servers.
	working, stopWork := context.WithCancel(postgres.Everywhere(context.WithoutCancel(ctx)))
	var workers sync.WaitGroup
	workers.Go(func() { h.writer.Run(working) })
	workers.Go(func() { h.api.Run(working) })
	workers.Go(func() { h.web.Run(working) })
	workers.Go(func() { h.rollup.Run(working) })
	workers.Go(func() { h.noteForwards(working, log) })
	workers.Go(func() { h.hear(working, db.direct, log) })
	workers.Go(func() { h.keepUp(working, log) })
	defer workers.Wait()
	defer stopWork()

	fmt.Fprintf(a.out, "Keyhook is ready at %s\n", listeners.url())
	return h.run(ctx, listeners.servers(h, c.Pprof, log), c.DrainDelay, log)
}

// build makes the stores and the two fronts. Nothing runs yet.
func (c *serveCmd) build(ctx context.Context, db *database, on *listeners, log *slog.Logger) (_ *house, err error) {
	box, err := db.prepare(ctx, c.MasterKey, c.DataDir, c.Migrate, log)
	if err != nil {
		return nil, err
	}
	h := &house{metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	if err := h.connect(ctx, db); err != nil {
		return nil, err
	}
	if h.migrations, err = migrations.Names(); err != nil {
		return nil, err
	}
	registerPools(h.metrics, h.console, h.ingestion, h.reading, h.maintenance, h.pulse)

	h.accounts, h.keys = account.NewStore(h.console, box, log), keyring.NewStore(h.console, box)
	h.upkeep, h.estates = inbox.NewStore(h.maintenance, box), account.NewStore(h.maintenance, box, log)
	if err := h.upkeep.EnsureWeeks(ctx); err != nil {
		return nil, err
	}
	if h.signing, err = newSigning(audit.NewStore(h.maintenance), c.Evidence, c.DataDir, log); err != nil {
		return nil, err
	}
	h.verifier = audit.NewVerifier(audit.NewStore(h.maintenance), h.signing.ledger)
	counted := ingest.NewMetrics(h.metrics)
	h.rollup = ingest.NewRollup(h.ingestion, log)
	h.writer = ingest.NewWriter(h.ingestion, box, counted, log)
	h.cache = keyring.NewCache(keyring.NewStore(h.ingestion, box))
	h.hooks = ingest.NewHandler(
		ingest.Config{DocsURL: on.hooksURL(), MaxBody: int64(c.MaxBody), TrustedProxies: c.Proxies},
		h.cache, h.writer, counted, log)
	h.notices = newNotices(h.keys, inbox.NewStore(h.console, box), h.metrics)
	console := c.consoleConfig(on)
	if console.Evidence, err = h.signing.evidence(); err != nil {
		return nil, err
	}
	if console.Mail, err = mail.New(c.SMTPURL, c.From); err != nil {
		return nil, err
	}
	events, trail := inbox.NewStore(h.console, box), audit.NewStore(h.console)
	h.web = web.NewServer(console, h.accounts, h.keys, events, trail, evidence.NewStore(h.console, trail, events, h.signing.signer), log)
	h.api = api.NewServer(api.Config{DocsURL: on.publicURL, Secure: c.secure()}, h.reading, keyring.NewStore(h.reading, box), inbox.NewStore(h.reading, box), log)
	h.metrics.MustRegister(h.api.Gauges())
	return h, nil
}

// connect opens the pools. The ones for programs that read and for what asks after
// Keyhook's health connect once somebody does.
func (h *house) connect(ctx context.Context, db *database) (err error) {
	h.maintenance = db.maintenance
	if h.console, err = postgres.Open(ctx, db.url, postgres.Console); err != nil {
		return err
	}
	if h.ingestion, err = postgres.Open(ctx, db.url, postgres.Ingestion); err != nil {
		return err
	}
	if h.reading, err = h.console.Beside(ctx, db.url, postgres.Reading); err != nil {
		return err
	}
	h.pulse, err = h.maintenance.Beside(ctx, db.url, postgres.Health)
	return err
}

func (h *house) close() {
	for _, db := range []*postgres.DB{h.console, h.ingestion, h.reading, h.maintenance, h.pulse} {
		if db != nil {
			db.Close()
		}
	}
}

// run serves until ctx is done and the requests in flight have been answered.
// After errTerminated it goes on for a delay, while /readyz says no, so that
// senders turn to another instance before the listeners close.
func (h *house) run(ctx context.Context, servers []server, delay time.Duration, log *slog.Logger) error {
	failures := make(chan error, len(servers))
	for _, s := range servers {
		go func() { failures <- s.Serve(s.listener) }()
	}
	var err error
	select {
	case err = <-failures:
	case <-ctx.Done():
	}
	h.draining.Store(true)
	h.api.Drain() // those who stay go on elsewhere
	h.web.Drain()
	if err == nil && errors.Is(context.Cause(ctx), errTerminated) && delay > 0 {
		log.Info("draining", "delay", delay)
		err = waitFor(delay, failures)
	}
	log.Info("stopping")
	shutDown(ctx, servers, log)
	return err
}

// waitFor waits for a while, or until something fails.
func waitFor(delay time.Duration, failures <-chan error) error {
	select {
	case err := <-failures:
		return err
	case <-time.After(delay):
		return nil
	}
}

// shutDown closes the listeners and waits for the requests in flight.
func shutDown(ctx context.Context, servers []server, log *slog.Logger) {
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	for _, s := range servers {
		if err := s.Shutdown(grace); err != nil {
			log.Warn("some requests were cut off", "err", err)
		}
	}
}

// hear keeps the cache of keys fresh. Nothing depends on it: what is old there is
// found out when a request is stored.
func (h *house) hear(ctx context.Context, url string, log *slog.Logger) {
	err := postgres.Listen(ctx, url, keyring.ChangesChannel, h.cache.Hear, h.cache.ForgetAll)
	if err != nil {
		log.WarnContext(ctx, "changes of keys are not listened to", "err", err)
	}
}

func isTerminal(w any) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func newLog(a app, format string) *slog.Logger {
	if format == "text" || format == "auto" && isTerminal(a.err) {
		return slog.New(slog.NewTextHandler(a.err, nil))
	}
	return slog.New(slog.NewJSONHandler(a.err, nil))
}

// warn tells of what works but should be otherwise.
func (c *serveCmd) warn(h *house, on *listeners, log *slog.Logger) {
	if !h.console.Confined() || !h.ingestion.Confined() {
		log.Warn("the database user may not make or take the roles keyhook_scoped, keyhook_console and keyhook_ingest: Keyhook runs with all rights of its login role, without row-level security between workspaces")
	}
	host, _, _ := net.SplitHostPort(on.main.Addr().String())
	if ip := net.ParseIP(host); !c.secure() && ip != nil && !ip.IsLoopback() {
		log.Warn("the console is reachable over plain http: put it behind https and set KEYHOOK_PUBLIC_URL", "addr", on.main.Addr().String())
	}
}
