# hangar's two commands for newcomers, and the smaller ones behind them. Each installs what it misses (Debian, root) and says so.
.DEFAULT_GOAL := help
.PHONY: help demo test build web lint unit e2e api screens fuzz soak mutations security cgroup2 clean

help: ## this list
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: ## from nothing to a merged pull request, then look around in the browser
	@scripts/demo.sh

test: ## everything that CI runs
	@scripts/test.sh

build: web ## the program, with the web app inside: target/release/hangar
	@scripts/step.sh "building hangar" cargo build --release --locked --package hangar

web: ## the web app: clients/web/dist
	@scripts/web.sh

lint: ## formatting, lints, docs, licences
	@scripts/lint.sh

unit: ## the Rust tests
	@scripts/unit.sh

e2e: ## a browser against a real server
	@scripts/e2e.sh

api: ## requests made from the API's own description against a real server
	@scripts/api.sh

screens: ## the pictures of the README and the docs
	@scripts/e2e.sh screens

fuzz: ## spoiled messages to sessions, then random system calls in sandboxes, for ten minutes each
	@HANGAR_FUZZ_SECONDS=$${HANGAR_FUZZ_SECONDS:-600} cargo test -p hangar-session --test it fuzz:: -- --nocapture
	@HANGAR_FUZZ_SECONDS=$${HANGAR_FUZZ_SECONDS:-600} cargo test -p hangar-sandbox --test it security::fuzz -- --nocapture

soak: ## the server killed at every step and a thousand connections spoiled; HANGAR_SEED repeats a schedule
	@scripts/soak.sh

mutations: ## takes the guards of a sandbox away one by one and writes docs/mutations.md
	@scripts/mutations.sh

security: ## the security suite on every backend, virtual machines included (some ten minutes where they are emulated)
	@HANGAR_CONFORMANCE=all HANGAR_SECURITY_VM=all cargo test -p hangar-sandbox --test it security:: -- --nocapture

cgroup2: ## sandboxes on a machine with control groups of version 2 alone, emulated
	@scripts/cgroup2.sh

clean: ## removes what was built
	@rm -rf target clients/node_modules clients/web/dist/assets clients/web/dist/index.html clients/acp-conformance/node_modules clients/forge-conformance/node_modules clients/gateway-conformance/node_modules clients/harness-conformance/node_modules .venv
