# Everything a user types. Two variables of the environment matter to all of
# it: GO (the Go command) and HOME (left alone; see below).
GO     ?= go
PYTHON ?= python3
ROOT   ?= $(CURDIR)/.playground
BIN    := $(CURDIR)/bin

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
# The time of the commit, so that the same sources make the same programs.
BUILD_TIME := $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
LDFLAGS := -X main.build=$(VERSION) -X main.buildTime=$(BUILD_TIME)

# Where Go has no caches of its own yet (no HOME, or a fresh one) they are
# kept below .cache: nothing is written outside the repository.
ifeq ($(wildcard $(HOME)/.cache/go-build),)
export GOCACHE ?= $(CURDIR)/.cache/go-build
endif
ifeq ($(wildcard $(HOME)/go/pkg/mod),)
export GOMODCACHE ?= $(CURDIR)/.cache/go-mod
export GOFLAGS    ?= -modcacherw
endif
ifeq ($(wildcard $(HOME)/.config/go),)
export XDG_CONFIG_HOME ?= $(CURDIR)/.cache/config
endif
# Random tests draw the same in every run; other draws are for test-long.
export RAPID_SEED ?= 1
export PROXIES TARGETS MOUNTPATHS PORT ROOT DEMO

LOCAL := $(GO) run ./deploy/local

# Tests of the API run with the public listener's own loop and without it: those
# in these files of ais/test.
API_FILES := aisloader badinput cluster_api_* config_refused contracts_malformed docs facts_* inheritance integrity listing \
  mountpath multipart names slow_clients strangers trust
API_TESTS = $(shell grep -ho '^func Test[A-Za-z0-9_]*' $(wildcard $(API_FILES:%=ais/test/%_test.go)) | cut -c6- | paste -sd '|' -)

.DEFAULT_GOAL := build
.PHONY: build node cli aisloader deploy run restart kill clean clean-playground test test-short simulate test-long lint fmt bench bench-go fuzz help

build: node cli aisloader ## build all programs into bin/

node: ## build bin/aisnode
	$(GO) build -ldflags "$(LDFLAGS)" -o $(BIN)/aisnode ./cmd/aisnode

cli: ## build bin/ais
	$(GO) build -ldflags "$(LDFLAGS)" -o $(BIN)/ais ./cmd/ais

aisloader: ## build bin/aisloader
	$(GO) build -ldflags "$(LDFLAGS)" -o $(BIN)/aisloader ./cmd/aisloader

deploy: node cli ## start a cluster on this machine; store and check a data set
	@$(LOCAL) deploy

run: node cli ## start the cluster of the last deploy again
	@$(LOCAL) run

restart: node cli ## kill, then run
	@$(LOCAL) restart

kill: ## stop the cluster
	@$(LOCAL) kill

clean-playground: ## stop the cluster and remove it
	@$(LOCAL) clean

clean: clean-playground ## the same, and remove the binaries and the local caches
	@rm -rf $(BIN) $(CURDIR)/.venv $(CURDIR)/.cache

test: build ## all tests, Go and Python; installs what they need
	$(GO) test -timeout 20m $$($(GO) list ./... | grep -v '/ais/test$$')
	$(GO) test -timeout 30m -parallel 6 ./ais/test # mostly waits for processes
	AIS_HTTP_LOOP=off $(GO) test -timeout 10m -parallel 6 -run '^($(API_TESTS))$$' ./ais/test # the same API by net/http alone
	PYTHON=$(PYTHON) python/run-tests
	AIS_HTTP_LOOP=off PYTHON=$(PYTHON) python/run-tests

test-short: ## unit tests only
	$(GO) test -short -timeout 10m ./...

simulate: ## more than a thousand seeded histories of the control plane, 3 minutes
	GO=$(GO) .ci/simulate

test-long: build ## what takes longer than CI should: crash loops, soak, large objects, simulation
	AIS_TEST_LONG=yes $(GO) test -timeout 60m -count=1 -v ./ais/test/...
	$(GO) test -timeout 60m -count=1 -v ./core -run TestCrashSequences -crash.random -crash.seeds=20000
	RAPID_SEED=0 RAPID_CHECKS=1000 $(GO) test -short -timeout 60m -count=1 ./cmn/... ./core/... ./fs/... ./memsys
	SIMULATE_FROM=now GO=$(GO) .ci/simulate 10

lint: ## gofmt, go vet, golangci-lint
	GO=$(GO) .ci/lint

fmt: ## format all Go code
	gofmt -w $$(git ls-files '*.go')

fuzz: ## every fuzz target for 10 seconds
	GO=$(GO) .ci/fuzz 10s

bench: build ## the cluster against nginx; docs/benchmarks.md. Some rows only: make bench ROWS=get-4k
	GO=$(GO) .ci/bench $(if $(ROWS),-rows '$(ROWS)')

bench-go: ## the benchmarks of all packages
	GO=$(GO) .ci/bench --go

help: ## this list
	@while IFS= read -r line; do case "$$line" in *": "*"## "*) printf '%-12s %s\n' "$${line%%:*}" "$${line##*## }";; esac; done < Makefile
