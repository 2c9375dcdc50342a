# Everything a person needs is a target with a line of help: run `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
DEMO_DIR ?= .demo
SAY = @printf '\n\033[1m== %s\033[0m\n'

RUN_PACKAGES := python3 python3-venv ca-certificates tzdata
BENCH_PACKAGES := postfix dovecot-core dovecot-lmtpd notmuch python3-notmuch2 gcc libc6-dev libssl-dev openssl
TEST_PACKAGES := chromium-headless-shell fonts-dejavu-core openssl strace procps postgresql faketime libatomic1 softhsm2 unbound

.PHONY: help
help: ## Show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

define ensure_packages
	@missing=""; for name in $(1); do dpkg-query -W -f='$${Status}' $$name 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$name"; done; \
	if [ -n "$$missing" ]; then echo "   installing Debian packages:$$missing"; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
endef

.PHONY: system-packages
system-packages:
	$(SAY) "Debian packages to run Strongroom"
	$(call ensure_packages,$(RUN_PACKAGES))

.PHONY: test-packages
test-packages: system-packages
	$(SAY) "Debian packages for the tests (a browser, fonts, OpenSSL, strace, PostgreSQL)"
	$(call ensure_packages,$(TEST_PACKAGES))

.PHONY: install
install: system-packages $(VENV)/.installed ## Build .venv with .venv/bin/strongroom

$(VENV)/.installed: requirements.lock pyproject.toml
	$(SAY) "Python environment in $(VENV), every package pinned by hash"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q mailstore archive portal appliance
	@touch $@

$(VENV)/.test-installed: requirements-dev.lock $(VENV)/.installed
	$(SAY) "Test tools in $(VENV), every package pinned by hash"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# Of the time of a test a third is waiting: for servers, disks, and moments that it wants to come.
TEST_PROCESSES := 3

.PHONY: test
test: test-packages ## Set everything up and pass the tests
	@$(MAKE) --no-print-directory minio & building=$$!; \
	$(MAKE) --no-print-directory $(VENV)/.test-installed; installed=$$?; \
	wait $$building && exit $$installed
	$(SAY) "Tests, with real servers, files and a real browser; beside them format, lint, types and architecture"
	@{ told=$$(make --no-print-directory check 2>&1); checked=$$?; printf '%s\n' "$$told"; exit $$checked; } & checking=$$!; \
	export STRONGROOM_TEST_FAILED=$(VENV)/failed-tests; \
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal -m 'not rehearsal and not appliance'; tested=$$?; \
	[ $$tested != 1 ] || { $(BIN)/python -m tests.second_try; tested=$$?; }; \
	wait $$checking || { echo 'make check failed: what it said stands above'; exit 1; }; exit $$tested

.PHONY: test-postgresql
test-postgresql: test-packages $(VENV)/.test-installed ## Run the whole test suite over PostgreSQL
	@STRONGROOM_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal -m 'not rehearsal and not appliance'

.PHONY: test-failpoints
test-failpoints: test-packages $(VENV)/.test-installed ## See that every failpoint in the source is come by in some rehearsal
	@$(BIN)/python -m pytest -n 0 -m rehearsal

GUEST_PACKAGES := mmdebstrap debian-archive-keyring systemd-container nftables iproute2 openssh-client mount git pebble

.PHONY: guest-packages
guest-packages: root test-packages $(VENV)/.test-installed
	$(SAY) "What boots a Debian and runs the playbook against it"
	$(call ensure_packages,$(GUEST_PACKAGES))
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-playbook.lock

.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo 'Debians are booted as root alone: sudo make test-appliance-short'; exit 1; }

.PHONY: lint-playbook
lint-playbook: guest-packages
	$(SAY) "The playbook (ansible-lint)"
	@cd ansible && PATH="$(CURDIR)/$(BIN):$$PATH" ansible-lint --offline -q

.PHONY: test-appliance-short
test-appliance-short: guest-packages ## As root: a bare Debian becomes a practice by the playbook, takes mail, and a second run changes nothing
	@{ told=$$(make --no-print-directory lint-playbook 2>&1); linted=$$?; printf '%s\n' "$$told"; exit $$linted; } & linting=$$!; \
	$(BIN)/python -m pytest -n 0 -m appliance tests/appliance/test_short.py -k bookworm; tested=$$?; \
	wait $$linting || { echo 'make lint-playbook failed: what it said stands above'; exit 1; }; exit $$tested

.PHONY: test-appliance
test-appliance: lint-playbook minio ## As root, two hours: all that is tried on Debians booted for it, upgrades and ways back included
	@$(BIN)/python -m pytest -n 0 -m appliance tests/appliance

.PHONY: minio
minio: ## Build the object store that the tests run against, unless it is in ~/.cache/strongroom
	@$(PYTHON) -m tests.build_minio

.PHONY: check
check: ## Format, lint, types and architecture only
	$(SAY) "Formatting and lint (ruff, all rules)"
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(SAY) "Types (mypy --strict)"
	@$(BIN)/mypy
	$(SAY) "Architecture (import-linter)"
	@$(BIN)/lint-imports --no-timings 2>/dev/null || $(BIN)/lint-imports
	@! grep -nE 'https?:' requirements*.lock || { echo 'the lock files must not name a registry'; exit 1; }

N ?= 100
SEED ?= 7
.PHONY: torture
torture: $(VENV)/.test-installed ## Disturb every durable step N times, as root: nothing promised lost, doubled or back. SEED= KIND= AT= JSON=1 REPORT=FILE
	@$(BIN)/python -m tests.torture.rehearsal --cycles $(N) --seed $(SEED) $(if $(KIND),--kind $(KIND)) $(if $(AT),--at $(AT)) $(if $(REPORT),--report $(REPORT)) $(if $(JSON),--json)

PAIRS ?= 5
MESSAGES ?= 3000
.PHONY: bench
bench: install ## Race Postfix + Dovecot and notmuch on this machine, which rewrites /etc/postfix: PAIRS=5 MESSAGES=3000
	$(SAY) "Debian packages for the races (the peers and a C compiler)"
	$(call ensure_packages,$(BENCH_PACKAGES))
	$(SAY) "Mail taken in, encrypted and delivered: Strongroom beside Postfix -> Dovecot mail_crypt"
	@$(BIN)/python -m tests.bench.mail_race --pairs $(PAIRS) --messages $(MESSAGES)
	$(SAY) "The same, by senders that pipeline"
	@$(BIN)/python -m tests.bench.mail_race --pairs $(PAIRS) --messages $(MESSAGES) --pipelined
	$(SAY) "Search index: Strongroom beside notmuch"
	@$(BIN)/python -m tests.bench.index_race --pairs $(PAIRS)
	$(SAY) "Memory at rest and time to ready"
	@$(BIN)/python -m tests.bench.idle
	$(SAY) "From 250 to searchable"
	@$(BIN)/python -m tests.bench.searchable
	$(SAY) "Stored bytes: Strongroom beside Dovecot mail_crypt with zlib"
	@$(BIN)/python -m tests.bench.stored_bytes

.PHONY: bench-search
bench-search: install ## How search grows, streamed documents, all engines, beside notmuch: N=1000000
	$(call ensure_packages,$(BENCH_PACKAGES))
	@$(BIN)/python -m tests.bench.search_growth --messages $(or $(N),1000000)

.PHONY: bench-stores
bench-stores: install $(VENV)/.test-installed minio ## The race with rows and keys in PostgreSQL and objects in MinIO: PAIRS=5 MESSAGES=3000
	$(SAY) "Debian packages for the race (the peers, a C compiler, PostgreSQL)"
	$(call ensure_packages,$(BENCH_PACKAGES) postgresql)
	@$(BIN)/python -m tests.bench.stores_race --pairs $(PAIRS) --messages $(MESSAGES)

.PHONY: bench-hour
bench-hour: install ## Memory of every role over an hour of 20 messages a second
	@$(BIN)/python -m tests.bench.steady_load

.PHONY: reference
reference: ## Write docs/reference from the code
	@$(BIN)/python -m appliance.reference_pages

.PHONY: migration
migration: ## Write the next step of the row database: make migration WHY="Why it is needed"
	@$(BIN)/python -m appliance.migrations "$(WHY)"

.PHONY: lock
lock: ## Pin all dependencies by hash again
	@$(BIN)/uv pip compile -q pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -o requirements.lock
	@$(BIN)/uv pip compile -q pyproject.toml --group build --group dev --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -c requirements.lock -o requirements-dev.lock
	@$(BIN)/uv pip compile -q pyproject.toml --group playbook --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -c requirements-dev.lock -o requirements-playbook.lock

.PHONY: demo
demo: install ## Set everything up and run the main job: a living practice to try out
	$(SAY) "A practice to try out in $(DEMO_DIR)"
	@$(BIN)/strongroom demo --data $(DEMO_DIR)

.PHONY: demo-check
demo-check: install ## Run the whole life of a message headless and print the evidence
	@$(BIN)/strongroom demo --check

.PHONY: screenshots
screenshots: test-packages $(VENV)/.test-installed ## Take a picture of every page into docs/pages
	$(SAY) "Pictures of every page, from a demonstration of its own"
	@$(BIN)/python -m tests.pages.screenshots

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf $(VENV) $(DEMO_DIR) .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
