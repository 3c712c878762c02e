# Needs Python 3.11 or newer with its venv module, and nothing else.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
CHROMIUM := $(firstword $(wildcard /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome))
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --require-hashes
UV := $(BIN)/uv pip compile pyproject.toml --quiet --no-config --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --custom-compile-command "make lock"

# What the checks and tests need: the browser's tools only where there is a browser.
TOOLS := .venv/installed-$(if $(CHROMIUM),browser,dev)

.PHONY: help
help:
	@echo "make demo         run everything here, with made-up data, on http://localhost:$(PORT)"
	@echo "make demo-reset   forget all that the demo holds"
	@echo "make test         run the tests"
	@echo "make check        format, lint, types, contracts, migrations, settings, templates, tests"
	@echo "make torture      try to lose money: HISTORIES=2000 SEED=1 KILLS=0 WORKERS=3"
	@echo "make races        people at the same moment: ROUNDS=10000 SEED=1 WORKERS=2"
	@echo "make faults       Valkey, PostgreSQL and mail break: BACKLOG=10000"
	@echo "make bench        how fast it is, beside the least that the same work takes: SIZE=small|full"
	@echo "make brokers      the real worker over Valkey and over RabbitMQ"
	@echo "make format       put the code into its form"
	@echo "make api-fuzz     throw made-up requests at the API"
	@echo "make fuzz         every bad value in every field of every form: ROLES=all"
	@echo "make attack       let scanners loose on a demo, as every role: SECONDS=120"
	@echo "make webhook-storm  COUNT=100000 SEED=1 webhooks, doubled, shuffled and late"
	@echo "make rehearse     run the production shape here, then restore a backup of it"
	@echo "make screenshots  take the pictures in docs/images anew"
	@echo "make lock         resolve the dependencies anew into requirements/"

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 …") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

.venv/installed-runtime: requirements/runtime.txt | .venv/bin/python
	@echo "Installing the locked dependencies into .venv"
	$(PIP) -r $<
	@touch $@

.venv/installed-dev: requirements/dev.txt | .venv/bin/python
	@echo "Installing the locked dependencies and tools into .venv"
	$(PIP) -r $<
	@touch $@

.venv/installed-browser: requirements/browser.txt | .venv/bin/python
	@echo "Installing the locked dependencies and tools into .venv"
	$(PIP) -r $<
	@touch $@

# Apart from the rest: its own versions of what the tools have as well.
.venv/fuzz/bin/schemathesis: requirements/fuzz.txt | .venv/bin/python
	@echo "Installing the locked fuzzer into .venv/fuzz"
	$(PYTHON) -m venv .venv/fuzz
	.venv/fuzz/bin/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<
	@touch $@

.venv/attack/bin/wapiti: requirements/attack.txt | .venv/bin/python
	@echo "Installing the locked attackers into .venv/attack"
	$(PYTHON) -m venv .venv/attack
	.venv/attack/bin/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<
	@touch $@

.PHONY: install
install: .venv/installed-runtime $(TOOLS)

.PHONY: demo
demo: .venv/installed-runtime
	@exec $(BIN)/python manage.py demo --port $(PORT)

.PHONY: demo-reset
demo-reset: .venv/installed-runtime
	@DEMO=1 $(BIN)/python manage.py demo_reset

.PHONY: test
test: $(TOOLS)
	$(BIN)/python -m pytest

# People at the same moment, thousands of times over: ROUNDS=10000 SEED=1.
.PHONY: races
races: $(TOOLS)
	@$(BIN)/python -m tests.races

# What is around the product breaks, and all is settled within two sweeps: FAULTS=… BACKLOG=10000.
.PHONY: faults
faults: $(TOOLS)
	@$(BIN)/python -m tests.faults

# Thousands of made-up histories and, with KILLS, workers killed at every named place.
.PHONY: torture
torture: $(TOOLS)
	@$(BIN)/python -m tests.torture

# The real worker over Valkey, and over RabbitMQ where it is installed or RABBITMQ_URL names one.
.PHONY: brokers
brokers: $(TOOLS)
	$(BIN)/python -m pytest tests/brokers.py -n 0

.PHONY: check
check: lint test

.PHONY: lint
lint: $(TOOLS)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	DEMO=1 $(BIN)/mypy --no-error-summary .
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry . --no-ansi
	$(BIN)/djlint templates --lint --quiet
	DEMO=1 $(BIN)/python manage.py makemigrations --check
	DEMO=1 LOG_LEVEL=WARNING DJANGO_SETTINGS_MODULE=config.settings $(BIN)/python -m tests.lint_migrations
	DEMO=1 $(BIN)/python manage.py lifecycle --check
	DEMO=1 $(BIN)/python manage.py openapi --check
	DEMO=1 $(BIN)/python manage.py messages --check
	env -i PATH="$$PATH" $(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING

# What a production start has to be given, with made-up values.
PRODUCTION := SECRET_KEY=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR_+ \
	SEALING_KEY=0123456789abcdefghijklmnopqrstuvwxyz \
	SITE_URL=https://resolution.example DATABASE_URL=postgres://app@localhost/resolution \
	REDIS_URL=redis://localhost EMAIL_URL=smtp+tls://mail.resolution.example \
	STRIPE_API_KEY=sk_live_0 STRIPE_WEBHOOK_SECRET=whsec_0 \
	PAYPAL_CLIENT_ID=0 PAYPAL_CLIENT_SECRET=0 PAYPAL_WEBHOOK_ID=0 VAR_DIR=/tmp/resolution-check

# Made-up requests against a demo of its own, by the API's own description; takes some minutes.
.PHONY: api-fuzz
api-fuzz: $(TOOLS) .venv/fuzz/bin/schemathesis
	$(BIN)/python -m tests.api.fuzz .venv/fuzz/bin/schemathesis

# Every bad value in every field, as the first kind of person that may, or with ROLES=all as each.
.PHONY: fuzz
fuzz: $(TOOLS)
	@$(BIN)/python -m pytest tests/access/fuzz.py -n 0 --quiet

# Scanners against a demo of its own, as every role: SECONDS=120 for each.
.PHONY: attack
attack: $(TOOLS) .venv/attack/bin/wapiti
	$(BIN)/python -m tests.attack .venv/attack/bin

# Each job beside its floor in the same run, one JSON object a line: SIZE=small|full.
.PHONY: bench
bench: .venv/installed-runtime
	@$(BIN)/python -m bench

# Pictures for the documentation, of a demo of its own; needs Chromium.
.PHONY: screenshots
screenshots: $(TOOLS)
	$(BIN)/python -m pytest tests/e2e/screenshots.py -n 0 --quiet

# The same end in whatever order, how late and how often the providers tell: COUNT=100000 SEED=1.
.PHONY: webhook-storm
webhook-storm: $(TOOLS)
	@$(BIN)/python -m tests.webhook_storm

# What docker-compose.yml runs, without an engine; then a backup, restored and compared.
.PHONY: rehearse
rehearse: $(TOOLS)
	@$(BIN)/python -m tests.production

.PHONY: format
format: $(TOOLS)
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

# Without an index or a folder of this machine: the lock holds names, versions and hashes only.
.PHONY: lock
lock: .venv/installed-dev
	$(UV) -o requirements/runtime.txt
	$(UV) -c requirements/runtime.txt --extra dev -o requirements/dev.txt
	$(UV) -c requirements/dev.txt --extra dev --extra browser -o requirements/browser.txt
	echo schemathesis | $(subst pyproject.toml,-,$(UV)) -o requirements/fuzz.txt
	printf 'bandit\nsqlmap\nwapiti3\n' | $(subst pyproject.toml,-,$(UV)) -o requirements/attack.txt
	@! grep -nE '^--|://' requirements/*.txt
