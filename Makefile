# The two commands: `make demo` and `make test`. `make help` names the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:

PREFIX  ?= /usr/local
DESTDIR ?=
# What a user edits of the stack that the demo brings up is no other version of Orlop.
VERSION ?= $(shell v=$$(git describe --tags --always 2>/dev/null) || { echo unknown; exit; }; git diff --quiet HEAD -- . ':!stack.yaml' ':!examples' || v+=-dirty; echo $$v)
# Build tags of Go: cloudcache links the build caches of cloud services (gha, s3, azblob).
TAGS ?=
# Where base images come from: registry, local (made by `make images`), or auto, which takes local ones only when no
# registry answers.
BASE_IMAGES ?= auto
SHOP_PORT ?= 8080
# Scripts wait more than they compute: two for each processor.
TESTFLAGS ?= -count=1 -timeout 25m -parallel $(shell echo $$((2 * $$(nproc))))

export SHOP_PORT
# What is compiled for a test or a check is what was compiled for the programs, not all of it anew: see .ci/build.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath -tags=netgo,osusergo)

PACKAGES := bash ca-certificates curl gcc git iproute2 libc6-dev libseccomp-dev libxml2-utils nftables nodejs openssh-client openssh-server openssl pkg-config procps shellcheck strace util-linux \
	busybox-static debian-archive-keyring docker-registry mmdebstrap skopeo umoci xz-utils
# What guest machines need beside those: e2e/guest.
GUEST := apt dpkg e2fsprogs qemu-system-x86
BASE := $(addprefix .cache/images/,busybox.tar debian.tar golang.tar)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: deps
deps: ## install the Debian packages that building and testing need
	@.ci/deps $(PACKAGES)

.PHONY: build
build: ## build the command, keeper, engine, shim, runc and what deploys to a cluster into bin/
	@.ci/build "$(VERSION)" "$(TAGS)"

.PHONY: install
install: build ## install below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/orlop
	install -m 0755 bin/orlop $(DESTDIR)$(PREFIX)/bin/orlop
	install -m 0755 bin/orlopd bin/orlop-engine bin/orlop-deploy bin/orlop-gate bin/orlop-exec bin/orlop-shim bin/containerd-shim-runc-v2 bin/runc $(DESTDIR)$(PREFIX)/libexec/orlop/
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@PREFIX@|$(PREFIX)|' dist/orlop.service.in >$(DESTDIR)$(PREFIX)/lib/systemd/system/orlop.service
	chmod 0644 $(DESTDIR)$(PREFIX)/lib/systemd/system/orlop.service

.PHONY: dist
dist: build ## make a release in bin/dist: a tarball, what it is made of (SPDX), SHA256SUMS
	@.ci/dist "$(VERSION)"

.PHONY: dist-check
dist-check: build ## make the release twice and hold that it is the same, its sums right, its programs described
	@.ci/dist-check "$(VERSION)"

.PHONY: uninstall
uninstall: ## remove what `make install` installed; data stays
	rm -f $(DESTDIR)$(PREFIX)/bin/orlop
	rm -rf $(DESTDIR)$(PREFIX)/libexec/orlop
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/orlop.service

.PHONY: images
images: $(BASE) ## make base images for machines without a registry

# Everything that decides what is in the images. The program decides for each of them whether it is made again.
$(BASE) &: $(wildcard images/*.go) $(wildcard /bin/busybox /etc/apt/apt.conf /etc/apt/apt.conf.d/* \
		/etc/ssl/certs/ca-certificates.crt /usr/local/share/ca-certificates/*) $(shell go env GOROOT)/VERSION
	@go run ./images -dir .cache/images
	@touch $(BASE)

.PHONY: foreign
foreign: ## build the clients of others that tests need: buildx, buildctl, cosign, notation
	@.ci/foreign

.PHONY: cluster
cluster: ## build the Kubernetes that `orlop deploy` is tested on; go run -C e2e/cluster ./up starts it
	@.ci/cluster

.PHONY: demo
demo: deps build ## build everything, start the engine, bring the shop up, and show where it is
	@BASE_IMAGES=$(BASE_IMAGES) .ci/demo

.PHONY: demo-clean
demo-clean: ## take the shop down, with its data
	bin/orlop down -v --remove-orphans

.PHONY: test
test: deps build images foreign ## run every test against the real engine; nothing is skipped
	@.ci/test "$(TESTFLAGS)"

.PHONY: test-foreign
test-foreign: deps build images ## run docker/compose's own end-to-end tests against the engine
	go -C e2e/foreign/compose vet ./...
	go -C e2e/foreign/compose test -count=1 -timeout 30m ./...

# OLDEST=1 holds deploy against the API server of the oldest version that it is for, too, which compiles for some minutes more.
OLDEST ?=

.PHONY: test-cluster
test-cluster: deps build images cluster ## deploy to a Kubernetes cluster of one node, in namespaces of its own (OLDEST=1: to an old API server, too)
	go -C e2e/cluster vet . ./bench ./faultproxy ./machine ./up
	ORLOP_E2E=1 CGO_ENABLED=0 go -C e2e/cluster test -count=1 -timeout 20m -parallel 10 -run TestScripts .
	$(if $(OLDEST),@.ci/cluster oldest && ORLOP_E2E=1 ORLOP_E2E_OLD_API=$(CURDIR)/.cache/cluster/oldest CGO_ENABLED=0 go -C e2e/cluster test -count=1 -timeout 10m -run TestAPI .)

.PHONY: bench-cluster
bench-cluster: build cluster ## measure what a deploy costs, beside kubectl
	go run -C e2e/cluster ./bench

.PHONY: fuzz
fuzz: ## fuzz every parser for half a minute each; what is found becomes a test
	@.ci/fuzz 30s

.PHONY: bench
bench: build images ## measure how long the common things take; BESIDE=/path/to/another/orlop compares both in turns
	go run ./e2e/bench $(if $(BESIDE),-beside "$(BESIDE)")

# What is measured against the last tag, or BASE=COMMIT.
.PHONY: bench-check
bench-check: build images ## fail if something has become slower than in the last tag (BASE=COMMIT: than there)
	@.ci/bench-check "$(BASE)"

.PHONY: bench-load
bench-load: build images ## measure what stays bounded under load: 500 services, floods of logs, names, connections, contexts
	go run ./e2e/bench -load -runs 1

# What is done follows from the seed; a run that fails names it.
SEED    ?= 1
MINUTES ?= 5
CYCLES  ?= 0

.PHONY: soak
soak: build images ## random operations and faults for some MINUTES, by a SEED; or CYCLES of up and down
	go run ./e2e/soak -seed $(SEED) -minutes $(MINUTES) -cycles $(CYCLES)

.PHONY: guest-deps
guest-deps: deps
	@.ci/deps $(GUEST)

.PHONY: guest
guest: guest-deps build images ## run the tests that need a machine of their own: restarts, its clock, its memory, its power
	ORLOP_GUEST=1 go test -v -count=1 -timeout 90m ./e2e/guest/...

# How many losses of power, and the first of their seeds (or of the moments of crashes).
SEEDS ?= 3
FIRST ?= 1

.PHONY: powerloss
powerloss: guest-deps build images ## take a guest machine its power at a random moment, SEEDS times, and look what it kept
	go run ./e2e/guest -first $(FIRST) -seeds $(SEEDS)

# How many moments, and how long a change takes where a failure has named it; FIRST is the number of the first.
MOMENTS ?= 500
WHOLE   ?=

.PHONY: crashes
crashes: build images ## kill engine, keeper, shim or command at MOMENTS of changes, by a SEED
	ORLOP_E2E=1 ORLOP_E2E_MOMENTS=$(MOMENTS) ORLOP_E2E_FIRST=$(FIRST) ORLOP_E2E_SEED=$(SEED) ORLOP_E2E_WHOLE=$(WHOLE) \
		go test ./e2e -count=1 -timeout 3h -v -run 'TestFaults/killed_anywhere$$'

.PHONY: lint
lint: ## gofmt, vet, staticcheck, shellcheck of the scripts, known vulnerabilities
	@.ci/lint "$(STATICCHECK)" "$(GOVULNCHECK)"

.PHONY: clean
clean: ## remove what was built; base images stay in .cache
	rm -rf bin

.PHONY: distclean
distclean: clean ## remove base images as well
	rm -rf .cache
