#!/usr/bin/env bash
# Everything that CI runs, in the order in which it fails fastest.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
began=$SECONDS
step=scripts/step.sh

$step "system packages" scripts/install.sh test
scripts/web.sh
cd clients
../$step "web: types" npm run check
../$step "web: lints" npm run lint
../$step "web: tests" npm test
../$step "web: size" npm run size
cd ../clients/forge-conformance
../../$step "the forge's judges" npm ci --no-audit --no-fund
cd ../gateway-conformance
../../$step "the gateway's judges" npm ci --no-audit --no-fund
cd ../acp-conformance
../../$step "editors" npm ci --no-audit --no-fund
cd ../mcp-conformance
../../$step "the tools' judges" npm ci --no-audit --no-fund
cd ../harness-conformance
../../$step "agents of other makers" npm ci --no-audit --no-fund
cd ../..
scripts/lint.sh
scripts/unit.sh
export HANGAR_BIN=$PWD/target/debug/hangar
$step "API from its description" scripts/api.sh
$step "tasks of hangar eval" scripts/eval.sh
$step "browser" scripts/e2e.sh
HANGAR_DEMO_EXIT=1 $step "demo" scripts/demo.sh
echo "All of it passed in $((SECONDS - began)) s."
