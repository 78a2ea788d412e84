.DEFAULT_GOAL := help
SHELL := /bin/bash
UV := tools/uv
RUN := $(UV) run --frozen --no-sync
PYTEST := $(RUN) pytest
CODE := crds operator feeder cli tests

.PHONY: help setup demo clean-demo test check unit integration e2e chaos cluster soak gen bench results

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## install the locked dependencies (and uv itself where it is missing)
	@$(UV) sync -q --frozen --all-packages

demo: setup ## a local cluster, the chart, two feeds, and rows arriving (RECORDINGS=DIR, LIVE=1)
	@$(RUN) feedplane-cluster demo

clean-demo: setup ## undo the demo: remove its cluster
	@$(RUN) feedplane-cluster clean-demo

test: check ## every test: unit, house, integration and end to end on a kind cluster
	@$(PYTEST)

check: setup ## format, lint, types, import contracts, house tests, generated files fresh
	@$(RUN) ruff format --check -q $(CODE)
	@$(RUN) ruff check -q $(CODE)
	@$(RUN) mypy crds/src operator/src feeder/src cli/src tests
	@$(RUN) lint-imports --no-cache
	@$(PYTEST) -q tests/house

unit: setup ## pure tests only, a few seconds, with coverage of the cores
	@$(PYTEST) -q tests/unit --cov --cov-report=term

integration: setup ## against a real API server, real databases and the simulator
	@$(PYTEST) tests/integration

e2e: setup ## on a real kind cluster with the shipped chart and images (KEEP=1 keeps it)
	@$(PYTEST) tests/e2e $(if $(KEEP),--keep-cluster)

chaos: setup ## every failover trial at full length, an hour or two (ONLY=trial ROUNDS=n KEEP=1)
	@PYTHONPATH=tests/support $(RUN) python -u -m tests.chaos $(foreach t,$(ONLY),--only $(t)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(KEEP),--keep)

soak: setup ## small faults for MINUTES (30; a day: 1440), then ledger and quality report (KEEP=1)
	@PYTHONPATH=tests/support $(RUN) python -u -m tests.chaos.soak --minutes $(or $(MINUTES),30) $(if $(KEEP),--keep)

cluster: setup ## a real kind cluster with the product images loaded
	@$(RUN) feedplane-cluster up

gen: setup ## rewrite CRDs, the chart's CRDs and the reference pages from the models
	@$(RUN) python -m feedplane_api.crd --write
	@$(RUN) python -m feedplane_feeder.reference --write
	@$(RUN) python -m feedplane_operator.reference --write
	@$(RUN) python -m feedplane_cli.reference --write

bench: setup ## measure every figure; writes docs/results/*.json (needs a quiet machine; ONLY=step)
	@$(UV) sync -q --frozen --all-packages --group bench
	@PYTHONPATH=tests/support $(RUN) python -m tests.bench $(if $(ONLY),--only $(ONLY))

results: setup ## render docs/results/*.json into docs/results.md and check every quoted figure
	@$(RUN) python -m tests.bench.render_results
