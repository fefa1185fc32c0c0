# Keyhook. `make` prints what there is.

SHELL := bash
-include .tools/env

TOOL    := go tool -modfile=tools.mod
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
TEST    := go test -timeout 40m
# The providers' own libraries, which the signatures are held against: a module of
# its own, so that they are no part of Keyhook's.
ORACLE  := internal/signature/oracle

.DEFAULT_GOAL := help
.PHONY: help run demo dev test check bench bench-stored bench-usage build generate screenshots fuzz vulnerabilities setup-run setup-test

help: ## print this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

# The set-up may have written .tools/env, so what follows it is a make of its own.
run: setup-run ## set up what is missing, build, and run Keyhook; prints the link to open
	@$(MAKE) --no-print-directory build
	@echo "run: data in $${KEYHOOK_DATA_DIR:-the default data folder}; end it with Control-C"
	@. <(sed 's/ := /=/' .tools/env 2>/dev/null); exec bin/keyhook serve --print-setup-link

demo: setup-run ## the same on a throw-away data folder, with 60 keys and 50,000 deliveries
	@$(MAKE) --no-print-directory build
	@. <(sed 's/ := /=/' .tools/env 2>/dev/null); exec bin/keyhook demo

dev: setup-run ## rebuild pages and restart on every change
	@. <(sed 's/ := /=/' .tools/env 2>/dev/null); $(TOOL) templ generate --watch --cmd "go run ./cmd/keyhook serve --print-setup-link"

# One package's tests after the other's, while the next is linked: they run side by side
# and share the machine with PostgreSQL, and two packages at once take longer than in turn.
test: setup-test ## set up what is missing and run every test, the browser's too
	@. <(sed 's/ := /=/' .tools/env 2>/dev/null); folder=$$(scripts/testfolder) || exit 1; \
	  export GOTMPDIR=$${GOTMPDIR:-$${TMPDIR:-/tmp}} TMPDIR=$$folder; \
	  case $$folder in /dev/shm/keyhook-tests-*) trap "rm -rf $$folder" EXIT ;; esac; \
	  go build ./... || exit 1; \
	  failed=0; $(TEST) -p 2 -parallel 4 -exec "flock -o '$$folder/keyhook-turn-$$(id -u)'" $$(go list ./... | grep -v /e2e$$) || failed=1; \
	  $(TEST) ./cmd/keyhook/e2e || failed=1; \
	  (cd $(ORACLE) && $(TEST) ./...) || failed=1; exit $$failed

check: ## format, vet, lint, generated files, module files
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt: $$out"; exit 1; }
	@out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go' | grep -v _templ.go)); [ -z "$$out" ] || { echo "gofumpt: $$out"; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	$(TOOL) templ generate -log-level error
	@git diff --exit-code --stat -- '*_templ.go' || { echo "check: commit what templ generates (make generate)"; exit 1; }
	go mod tidy -diff
	go mod verify
	cd $(ORACLE) && go vet ./... && go tool -modfile=$(CURDIR)/tools.mod staticcheck ./... && go mod tidy -diff

bench: setup-run ## measure ingestion against its limit and against a naive design
	@$(MAKE) --no-print-directory build
	@. <(sed 's/ := /=/' .tools/env 2>/dev/null); bin/keyhook bench ingest $(BENCH) && bin/keyhook bench lone && bin/keyhook bench idle && bin/keyhook bench timing
	@. <(sed 's/ := /=/' .tools/env 2>/dev/null); bin/keyhook bench read

bench-stored: setup-run ## the same with 5 million signals and 10 million deliveries there before (a quarter of an hour, 10 GB)
	@$(MAKE) --no-print-directory build
	@. <(sed 's/ := /=/' .tools/env 2>/dev/null); bin/keyhook bench stored $(BENCH)

bench-usage: setup-run ## the console on 10 million deliveries beside the raw SQL, open live tails, exports (half an hour, 12 GB)
	@$(MAKE) --no-print-directory build
	@. <(sed 's/ := /=/' .tools/env 2>/dev/null); bin/keyhook bench usage $(BENCH) && bin/keyhook bench tail && \
	  go test -run - -bench Export -benchtime 1x ./internal/inbox

build: ## build bin/keyhook
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/keyhook ./cmd/keyhook

generate: ## regenerate the pages' Go code
	$(TOOL) templ generate -log-level error

screenshots: setup-test ## take the pictures in docs/screenshots anew, of every page, wide and on a phone
	@temp=$$(mktemp -d); trap "rm -rf $$temp" EXIT; \
	  KEYHOOK_SCREENSHOTS=$$temp KEYHOOK_SCREENSHOT_LOOKS="1280-light 360-dark" go test -count=1 -timeout 30m -run 'TestPages|TestReadingPages' ./cmd/keyhook/e2e && \
	  scripts/gallery $$temp docs/screenshots

fuzz: ## every fuzz target for a minute
	@for package in $$(git grep -lE '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
	  for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9]+' $$package/*_test.go | sed 's/func //'); do \
	    go -C $$package test -run '^$$' -fuzz "^$$target$$" -fuzztime 60s . || exit 1; \
	  done; done

vulnerabilities: ## known vulnerabilities of what we depend on (needs the network)
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...

setup-run:
	@scripts/setup run
setup-test:
	@scripts/setup test
