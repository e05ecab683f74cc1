# `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# What `topiq version` and the metrics report.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# More arguments for the program that a target runs, as in
# make test ARGS='-run TestAppend'.
ARGS ?=

# Stamping fails where the checkout belongs to another user or git is missing,
# and -X main.version says the same.
export GOFLAGS := $(strip $(shell go env GOFLAGS) -buildvcs=false)

# Run by version: none of them belongs into the module graph of whoever
# imports the client.
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
DEADCODE := go run golang.org/x/tools/cmd/deadcode@v0.52.0
CYCLONEDX := go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build and run a server on an embedded file (ARGS: flags of topiq serve)
	bin/topiq serve $(ARGS)

.PHONY: build
build: ## Build bin/topiq, a static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/topiq ./cmd/topiq

# It is made from what the linker has put into the program, and so lists what is in it and nothing else.
.PHONY: sbom
sbom: build ## Write bin/topiq.cdx.json, which lists what bin/topiq is made of (CycloneDX), and check it
	$(CYCLONEDX) bin -json -std -version $(VERSION) -output bin/topiq.cdx.json bin/topiq
	go test -tags sbom -count 1 -run TestSBOM ./cmd/topiq

# The race detector is the reason for cgo, and so for a C compiler. It counts
# allocations otherwise, so their budgets are tested without it, each benchmark
# is run once, and what is about ten thousand of something is run with as many.
# What is compiled in for the fault suite alone has tests of its own, with its
# tags. Vetting is make lint's, and a program under the race detector sleeps for
# a second before it exits unless it is told not to.
.PHONY: test
test: postgres curl ## Run all tests with the race detector, PostgreSQL included (ARGS: flags of go test)
	GORACE=atexit_sleep_ms=0 CGO_ENABLED=1 go test -race -vet=off -timeout 20m $(ARGS) ./...
	go test -run AllocationBudgets -bench . -benchtime 1x ./api ./service ./db/sqlite ./db/postgres
	go test -run 'EightClientsRace|TenThousand|Crashes' ./api ./cmd/topiq
	go test -tags faults,badideas ./fault
	go test -tags faults,badideas -run 'Fault|Mistake' ./service ./api ./db/... ./cmd/topiq
	cd torture && CGO_ENABLED=1 go test -race -short $(ARGS) ./...

# An hour each finds what a quarter of a minute cannot; the short run keeps the targets alive.
FUZZTIME ?= 1h
export FUZZTIME
.PHONY: fuzz
fuzz: ## Run all fuzz targets, FUZZTIME=1h each (a number with x is executions, such as 10000x)
	@.ci/fuzz

# The fault suite, see torture/README.md. ROUNDS is of each nemesis on each engine.
ROUNDS ?= 0
ONLY ?=
ENGINE ?=
SEED ?= 0
RESULTS ?=
TORTURE = mkdir -p bin && (cd torture && go build -o ../bin/torture .) && bin/torture --root . --seed $(SEED) \
	$(if $(ONLY),--only $(ONLY)) $(if $(ENGINE),--engine $(ENGINE)) $(if $(RESULTS),--results $(RESULTS)) $(ARGS)

.PHONY: torture
torture: ## Break topiq and check that nothing is lost, about 4 minutes; with ROUNDS in every way (ONLY=N1,N7, ENGINE, SEED, RESULTS=FILE)
	@torture/install.sh
	$(TORTURE) --rounds $(ROUNDS)

.PHONY: torture-mistakes
torture-mistakes: ## Switch on each classic mistake, and fail unless the suite catches it (SEED, RESULTS=FILE)
	@torture/install.sh
	$(TORTURE) --mistakes

# Disks, failing file systems and memory limits are tested apart from make test, which needs no root.
.PHONY: torture-root
torture-root: ## Test what the fault suite does to disks, file systems and memory, as root (ARGS: flags of go test)
	@torture/install.sh
	cd torture && go test -tags root -count 1 $(ARGS) ./disk ./faultfs ./memlimit

.PHONY: torture-table
torture-table: ## Write the tables of all rounds in RESULTS=FILE into docs/guarantees.md
	$(TORTURE) --rounds=-1 --table docs/guarantees.md

# The table is that of docs/performance.md, forty minutes. A part of it is shown and not written:
# make bench ARGS='--only=produce-64 --engine=postgres'. Only an idle machine gives figures worth keeping.
BENCH_ROUNDS ?= 5
BENCH_DURATION ?= 2s
.PHONY: bench
bench: build postgres ## Measure the table of docs/performance.md, forty minutes (ARGS='--only=produce-64', BENCH_ROUNDS, BENCH_DURATION)
	go build -o bin/topiq-bench ./cmd/topiq-bench
	bin/topiq-bench --rounds=$(BENCH_ROUNDS) --duration=$(BENCH_DURATION) --write=docs/performance.md $(ARGS)

# A minute on each engine; SOAK=10m and SOAK=1h show more.
SOAK ?= 1m
.PHONY: soak
soak: build ## Load a broker with retention for SOAK=1m, and plot what it takes on disk into bin/soak-*.svg (ARGS: flags of torture soak)
	@torture/install.sh
	cd torture && go build -o ../bin/torture .
	for engine in sqlite postgres; do \
		bin/torture soak --engine $$engine --for $(SOAK) --svg bin/soak-$$engine.svg --csv bin/soak-$$engine.csv $(ARGS) || exit 1; \
	done

.PHONY: test-browser
test-browser: ## Try Swagger UI in a real browser, installing Chromium if need be (Debian, as root)
	@api/browsertest/install.sh
	cd api/browsertest && go test -tags browser -count 1 $(ARGS) ./...

.PHONY: test-clients
test-clients: build client/typescript/node_modules/.package-lock.json ## Generate a TypeScript client from openapi.yaml, compile it and test it on a real server
	cd client/typescript && npm test --silent
	go test -tags typescript -run TestDocumentedTypeScript ./cmd/topiq

.PHONY: postgres
postgres: ## Find a PostgreSQL server for the tests, or install one (Debian, as root)
	@db/postgres/pgtest/install.sh

# The documents' commands are run as they stand.
.PHONY: curl
curl:
	@command -v curl >/dev/null || { [[ $$(id -u) = 0 ]] && command -v apt-get >/dev/null && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends curl >/dev/null; } || \
		{ echo 'The tests run the documents'"'"' commands and need curl: install it.' >&2; exit 1; }

.PHONY: node
node:
	@gen/tools/install-node.sh

# npm writes this file when it has installed everything.
%/node_modules/.package-lock.json: %/package-lock.json | node
	cd $* && npm ci

# Of the files for builds without the tags, which are a few lines each, the
# linters see nothing: to look at all once more would take as long again.
# deadcode ends with 0 whatever it prints. Generated code is complete rather
# than used.
.PHONY: lint
lint: gen/tools/openapi-lint/node_modules/.package-lock.json ## Run the linters, and look for code that nothing reaches
	go vet ./...
	go vet -tags faults,badideas ./...
	$(GOLANGCI_LINT) run --build-tags faults,badideas $(ARGS)
	cd api/browsertest && $(GOLANGCI_LINT) run --build-tags browser $(ARGS)
	cd torture && go vet ./... && $(GOLANGCI_LINT) run $(ARGS)
	@echo npm run lint # Its notes are of interest only where it fails.
	@cd gen/tools/openapi-lint && notes=$$(npm run --silent lint 2>&1) || { echo "$$notes"; exit 1; }
	@dead=$$($(DEADCODE) -test ./...); \
	if dead=$$(grep -v '^gen/' <<<"$$dead" | grep .); then \
		echo "$$dead"; echo 'Nothing reaches these functions: use or remove them.'; exit 1; \
	fi

.PHONY: fmt
fmt: ## Format the code
	$(GOLANGCI_LINT) fmt

# Without cgo the SQL parser is compiled from WebAssembly, which takes half the
# time and no C compiler, and generates the same code.
.PHONY: gen
gen: ## Generate the code in gen from openapi.yaml, the schemas and the queries
	CGO_ENABLED=0 go generate ./gen

# git status, unlike git diff, also sees files that were never added.
.PHONY: gen-check
gen-check: gen ## Fail when gen or go.mod is not what its sources say
	@changes=$$(git status --porcelain -- gen); \
	if [[ -n $$changes ]]; then \
		echo "$$changes"; echo 'gen differs from its sources: run make gen and commit the result.'; exit 1; \
	fi
	go mod tidy -diff

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin client/typescript/{dist,generated,node_modules} gen/tools/openapi-lint/node_modules

.PHONY: ci
ci: ## Run everything that has to pass before a merge
	.ci/run
