package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/pprof"

	"github.com/prometheus/client_golang/prometheus"

	"keyhook/internal/bench"
	"keyhook/internal/config"
	"keyhook/internal/inbox"
	"keyhook/internal/ingest"
	"keyhook/internal/keyring"
	"keyhook/internal/postgres"
	"keyhook/web/api"
)

type benchServerCmd struct {
	config.Database
	config.MasterKey
	Design  string `enum:"limit,ingest,naive,read,console" required:"" help:"Which server."`
	Profile string `help:"File for a profile of its processor time."`
}

// Run serves one design until it is interrupted.
func (c *benchServerCmd) Run(ctx context.Context, a app) error {
	saveMemory()
	d := &database{url: c.URL, direct: c.Direct()}
	defer d.close(slog.New(slog.DiscardHandler))
	box, err := d.prepare(ctx, c.MasterKey, c.DataDir, false, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, d.url, postgres.Ingestion)
	if err != nil {
		return err
	}
	defer db.Close()
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	registry := prometheus.NewRegistry()
	metrics := ingest.NewMetrics(registry)
	writer := ingest.NewWriter(db, box, metrics, log)
	if c.Design == "limit" {
		writer = ingest.NewDiscarder(metrics)
	} else {
		go writer.Run(context.WithoutCancel(ctx))
		go ingest.NewRollup(db, log).Run(context.WithoutCancel(ctx))
	}
	var handler http.Handler = ingest.NewHandler(ingest.Config{MaxBody: 1 << 20}, keyring.NewCache(keyring.NewStore(db, box)), writer, metrics, log)
	if c.Design == "read" {
		reading, err := postgres.Open(ctx, d.url, postgres.Reading)
		if err != nil {
			return err
		}
		defer reading.Close()
		readers := api.NewServer(api.Config{}, reading, keyring.NewStore(reading, box), inbox.NewStore(reading, box), log)
		go readers.Run(context.WithoutCancel(ctx))
		handler = ingest.Prefixed(handler, readers)
	}
	if c.Design == "console" {
		pages, err := postgres.Open(ctx, d.url, postgres.Console)
		if err != nil {
			return err
		}
		defer pages.Close()
		console := consoleOn(pages, box)
		go console.Run(context.WithoutCancel(ctx))
		handler = ingest.Prefixed(handler, console)
	}
	if c.Design == "naive" {
		wide, err := postgres.Open(ctx, d.url, postgres.Naive)
		if err != nil {
			return err
		}
		defer wide.Close()
		handler = bench.Naive(keyring.NewStore(wide, box), wide)
	}
	if c.Profile != "" {
		file, err := os.Create(c.Profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		defer func() { _ = prometheus.WriteToTextfile(c.Profile+".metrics", registry) }()
	}
	return serveUntil(ctx, a.out, handler)
}

// forwarded believes everybody: only the benchmark asks.
func forwarded(r *http.Request) netip.Addr {
	if address, err := netip.ParseAddr(r.Header.Get("X-Forwarded-For")); err == nil {
		return address
	}
	return ingest.ClientAddr(r, nil)
}

func serveUntil(ctx context.Context, out io.Writer, handler http.Handler) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := newServer(handler, listener, slog.New(slog.DiscardHandler))
	context.AfterFunc(ctx, func() { server.Close() })
	fmt.Fprintf(out, "http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
