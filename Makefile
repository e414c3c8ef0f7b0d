# Every target uses the .venv of the checkout, and makes it if it is missing or out of date.
.PHONY: help demo test test-pythons test-image test-compose test-rabbitmq4 faults fuzz lint bench bench-status bench-services bench-peers bench-scale bench-brokers bench-limits bench-holds bench-sink audit-dependencies spike soak dashboards lock clean
PYTHON ?=
export PYTHON
bin := .venv/bin

help: ## print this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: ## run a whole sale on this machine; installs nothing outside the checkout; ARGS="--help"
	@scripts/venv run
	@# matplotlib keeps a list of fonts, by default in the home folder
	@MPLCONFIGDIR="$(CURDIR)/.venv/matplotlib" $(bin)/flashsale demo $(ARGS)

test: lint ## run lint, type checks and all tests; ARGS="-k pacing" for some of them
	@scripts/test-needs
	@# What the tests start fills two cores. More of them at once would take as long, and starve.
	@$(bin)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

test-pythons: ## run all tests on Python 3.13, as in the image, and on 3.14; as root on Debian
	@scripts/venv dev
	@scripts/test-needs
	@# If another Python can't be had, its line at the end says so.
	@scripts/test-needs pythons || true
	@scripts/test-pythons $(ARGS)

faults: ## play every fault that a sale meets, three times each, and print a table of the results
	@scripts/venv dev
	@scripts/test-needs
	@FAULTS_SEEDS=3 MODEL_SALES=400 $(bin)/python -m pytest --numprocesses 4 \
	    -o faulthandler_timeout=900 tests/faults tests/model $(ARGS)

fuzz: ## try thousands of random inputs: rules, parsers, and the API; 20 minutes
	@scripts/venv dev
	@scripts/test-needs
	@$(bin)/python -m pytest --numprocesses 2 --dist loadfile -m hypothesis --hypothesis-profile fuzz \
	    -o faulthandler_timeout=900 $(ARGS)

test-image: ## build the Dockerfile without a registry and start the image; as root on Debian
	@scripts/venv dev
	@# If that is not possible, the tests say so.
	@scripts/test-needs image || true
	@$(bin)/python -m pytest -o faulthandler_timeout=600 tests/image $(ARGS)

test-compose: ## run the Compose file on a private Docker daemon, and break it; as root on Debian
	@scripts/venv dev
	@# If that is not possible, the tests say so.
	@scripts/test-needs compose || true
	@$(bin)/python -m pytest -rs -o faulthandler_timeout=900 tests/compose $(ARGS)

test-rabbitmq4: ## run the tests that use servers on RabbitMQ 4 and PostgreSQL 17; as root on Debian
	@scripts/venv dev
	@# If Debian 13 can't be installed in a folder, the tests say so.
	@scripts/test-needs trixie || true
	@scripts/trixie .venv/trixie || true
	@FLASHSALE_TEST_SERVERS_ROOT=.venv/trixie FLASHSALE_TEST_BROKER_URL= FLASHSALE_TEST_DATABASE_URL= \
	    $(bin)/python -m pytest --numprocesses 2 --dist loadfile tests/integration tests/faults $(ARGS)

lint: ## run ruff, mypy and import-linter, as pre-commit does
	@scripts/venv dev
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports

bench: ## measure accept, confirm and drain on real servers; writes bench-results/
	@scripts/venv dev
	@scripts/test-needs wrk
	@$(bin)/python -m loadtest.bench.hot_path $(ARGS)

bench-status: ## measure the cost of telling shoppers: polls, unknown ids, event streams
	@scripts/venv dev
	@scripts/test-needs wrk
	@$(bin)/python -m loadtest.bench.status $(ARGS)

bench-services: ## measure events relayed and handled, and their effect on shoppers
	@scripts/venv dev
	@scripts/test-needs
	@$(bin)/python -m loadtest.bench.services $(ARGS)

spike: ## run a spike by Locust on a real stack; writes bench-results/spike.html
	@scripts/venv dev
	@scripts/test-needs
	@MPLCONFIGDIR="$(CURDIR)/.venv/matplotlib" $(bin)/python -m loadtest.bench.spike $(ARGS)

bench-peers: ## measure the gateway beside other libraries; ten minutes
	@scripts/venv dev
	@scripts/test-needs wrk
	@MPLCONFIGDIR="$(CURDIR)/.venv/matplotlib" $(bin)/python -m loadtest.bench.peers $(ARGS)

bench-scale: ## measure how cost grows with workers, gateways, backlog, skus, orders; 12 minutes
	@scripts/venv dev
	@scripts/test-needs wrk
	@MPLCONFIGDIR="$(CURDIR)/.venv/matplotlib" $(bin)/python -m loadtest.bench.scale $(ARGS)

bench-brokers: ## measure ten kinds of queues by the same spike; 12 minutes
	@scripts/venv dev
	@scripts/test-needs brokers
	@MPLCONFIGDIR="$(CURDIR)/.venv/matplotlib" $(bin)/python -m loadtest.bench.brokers $(ARGS)

bench-limits: ## measure what tokens and the limits of clients cost, and a flood beside others
	@scripts/venv dev
	@scripts/test-needs wrk
	@$(bin)/python -m loadtest.bench.limits $(ARGS)

bench-holds: ## measure what holds cost: accepting, draining, ending them, memory; 5 minutes
	@scripts/venv dev
	@scripts/test-needs wrk
	@$(bin)/python -m loadtest.bench.holds $(ARGS)

bench-sink: ## measure the delivery of orders to a shop's order service, and kill it 20 times
	@scripts/venv dev
	@scripts/test-needs
	@$(bin)/python -m loadtest.bench.sink $(ARGS)

soak: ## run a spike each minute, for 10 minutes; fails if anything grows; ARGS="--minutes 60"
	@scripts/venv dev
	@scripts/test-needs
	@MPLCONFIGDIR="$(CURDIR)/.venv/matplotlib" $(bin)/python -m loadtest.bench.soak $(ARGS)

audit-dependencies: ## look for known vulnerabilities in the locked packages, if an advisory source is reached
	@scripts/venv dev
	@scripts/audit-dependencies $(ARGS)

dashboards: ## write grafana/dashboards/*.json from their Python
	@scripts/venv dev
	@$(bin)/python -m grafana

lock: ## pin the newest versions that pyproject.toml allows
	@scripts/lock

clean: ## remove .venv, caches and results
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache \
	    bench-results flashsale-demo.png
