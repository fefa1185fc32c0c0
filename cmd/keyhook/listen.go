package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"keyhook/internal/ingest"
	"keyhook/internal/postgres"
	"keyhook/web"
)

// listeners are the addresses that serve answers on. They are taken first, so
// that a busy one is told of before anything is started.
type listeners struct {
	main  net.Listener
	hooks net.Listener // nil: the main one ingests
	ops   net.Listener // nil: off, or busy

	publicURL, hooksBase string
}

func (c *serveCmd) listen(log *slog.Logger) (_ *listeners, err error) {
	on := &listeners{}
	if on.main, err = net.Listen("tcp", c.Addr); err != nil {
		return nil, fmt.Errorf("listen on --addr: %w", err)
	}
	if c.HooksAddr != "" {
		if on.hooks, err = net.Listen("tcp", c.HooksAddr); err != nil {
			on.close()
			return nil, fmt.Errorf("listen on --hooks-addr: %w", err)
		}
	}
	if c.OpsAddr != "" {
		if on.ops, err = net.Listen("tcp", c.OpsAddr); err != nil {
			on.ops = nil
			log.Warn("no metrics: the ops address is busy", "addr", c.OpsAddr, "err", err)
		}
	}
	fixed := c.PublicURL != ""
	if !fixed {
		c.PublicURL = "http://" + reachable(on.main.Addr().String())
	}
	on.publicURL, on.hooksBase = c.PublicURL, c.HooksURL
	if on.hooksBase == "" {
		on.hooksBase = on.publicURL
		if on.hooks != nil {
			on.hooksBase = "http://" + reachable(on.hooks.Addr().String())
		}
	}
	c.fixedHost = fixed
	return on, nil
}

func (on *listeners) url() string      { return "http://" + reachable(on.main.Addr().String()) }
func (on *listeners) hooksURL() string { return on.hooksBase }

func (on *listeners) close() {
	for _, l := range []net.Listener{on.main, on.hooks, on.ops} {
		if l != nil {
			l.Close()
		}
	}
}

// A server with the address that it answers on.
type server struct {
	*http.Server
	listener net.Listener
}

// servers says who answers where. Webhooks are recognised by their raw path: a
// ServeMux would redirect an unclean one, and senders stop on redirects.
func (on *listeners) servers(h *house, profiling bool, log *slog.Logger) []server {
	health := h.health()
	console := http.NewServeMux()
	console.Handle("GET /healthz", health)
	console.Handle("GET /readyz", health)
	console.Handle("/api/v1/", h.api)
	console.Handle("/", h.web)

	var list []server
	if on.hooks == nil {
		list = append(list, newServer(h.parting(ingest.Prefixed(h.hooks, console)), on.main, log))
	} else {
		list = append(list, newServer(h.parting(ingest.Prefixed(notHere(on.hooksBase), console)), on.main, log))
		public := http.NewServeMux()
		public.Handle("GET /healthz", health)
		public.Handle("GET /readyz", health)
		public.Handle("/", h.web.Docs())
		list = append(list, newServer(h.parting(ingest.Prefixed(h.hooks, public)), on.hooks, log))
	}
	if on.ops != nil {
		list = append(list, newServer(h.ops(profiling), on.ops, log))
	}
	return list
}

func newServer(handler http.Handler, listener net.Listener, log *slog.Logger) server {
	return server{&http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       75 * time.Second, // longer than a load balancer's, which must be the one to close
		MaxHeaderBytes:    ingest.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}, listener}
}

// saveMemory makes the garbage collector begin sooner than it does by itself: a
// fifth less memory, for little processor time.
func saveMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// parting ends each connection with its next answer while we drain, so that no
// sender is about to use one when they are closed.
func (h *house) parting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// health answers whether the process is up, and whether it should get requests.
func (h *house) health() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.URL.Path == "/healthz" {
			fmt.Fprintln(w, "up")
			return
		}
		if h.draining.Load() || checkReady(r.Context(), h.pulse, h.migrations) != nil {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
}

// ops is for who operates the instance.
func (h *house) ops(profiling bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.metrics, promhttp.HandlerOpts{}))
	if profiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// registerPools makes the process and the database pools part of the metrics.
func registerPools(registry *prometheus.Registry, pools ...*postgres.DB) {
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, db := range pools {
		for name, value := range map[string]func() float64{
			"in_use":  func() float64 { return float64(db.Stats().InUse) },
			"open":    func() float64 { return float64(db.Stats().OpenConnections) },
			"waiting": func() float64 { return float64(db.Stats().WaitCount) },
		} {
			registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Namespace: "keyhook", Subsystem: "pool", Name: name, Help: "Connections of a database pool.",
				ConstLabels: prometheus.Labels{"pool": db.Name()},
			}, value))
		}
	}
}

func (c *serveCmd) secure() bool { return strings.HasPrefix(c.PublicURL, "https://") }

func (c *serveCmd) consoleConfig(on *listeners) web.Config {
	return web.Config{
		PublicURL: on.publicURL, HooksURL: on.hooksBase, MaxBody: sizeText(int64(c.MaxBody)), Secure: c.secure(),
		Operator: c.Workspaces == "operator", FixedHost: c.fixedHost,
		ClientAddr: func(r *http.Request) netip.Addr { return ingest.ClientAddr(r, c.Proxies) },
	}
}

func sizeText(bytes int64) string {
	if bytes%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}
