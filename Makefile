# The short way to everything. Each target installs or starts what it needs, after saying so.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-odbc bench lint stop clean-services

# Passed on to the program or the test runner, by way of the shell: make test ARGS="-E 'test(expiry)'"
ARGS ?=

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{ printf "%-16s%s\n", $$1, $$2 }'

demo: export UNIGATE_SERVICES = postgres rabbitmq mariadb
demo: ## the whole system in one process, with payees and front-ends to play with
	@scripts/tools build
	@scripts/services run cargo run -- demo $(ARGS)

test: export UNIGATE_SERVICES = postgres rabbitmq mariadb
test: ## all tests, on the real RabbitMQ, PostgreSQL and MariaDB
	@scripts/tools test
	@examples/run-frontends --prepare
	@# The end-to-end tests start the real executable, which no test target builds by itself.
	@cargo build --workspace
	@if cargo nextest --version >/dev/null 2>&1; then \
		scripts/services run cargo nextest run --workspace $(ARGS); \
	else \
		scripts/services run cargo test --workspace $(ARGS); \
	fi

test-odbc: export UNIGATE_SERVICES = postgres rabbitmq mariadb
test-odbc: ## payees' databases by ODBC, with Debian's drivers
	@scripts/tools odbc
	@cargo build --workspace --features odbc
	@scripts/services run cargo test --workspace --features odbc --test odbc $(ARGS)
	@scripts/services run cargo test --workspace --features odbc --test it databases::odbc $(ARGS)

bench: ## how many payments a second intake takes, release build
	@scripts/tools build
	@scripts/services run cargo run --release -- bench intake $(ARGS)

lint: ## formatting, clippy, shell scripts, imports and licences
	@scripts/tools build lint odbc
	cargo fmt --all --check
	shellcheck -x .ci/run examples/run-frontends $$(find scripts -maxdepth 1 -type f)
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --package sql --package databases --features databases/odbc --all-targets -- -D warnings
	"$$(scripts/tools cargo-deny)" --log-level error check bans licenses sources

stop: ## stops the private services, if they run
	@scripts/services stop

clean-services: ## stops them and deletes their data
	@scripts/services clean
