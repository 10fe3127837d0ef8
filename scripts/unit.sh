#!/usr/bin/env bash
# The Rust tests, and afterwards proof that they left nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
export HANGAR_TEST_TRACES=${HANGAR_TEST_TRACES:-$(mktemp -d)}
scripts/traces.sh >"$HANGAR_TEST_TRACES/before"
scripts/step.sh "building the program" cargo build --workspace --locked
scripts/step.sh "tests" env HANGAR_CONFORMANCE=all cargo test --workspace --locked --no-fail-fast
scripts/traces.sh >"$HANGAR_TEST_TRACES/after"
left=$(comm -13 <(sort "$HANGAR_TEST_TRACES/before") <(sort "$HANGAR_TEST_TRACES/after"))
if [ -n "$left" ]; then
  printf 'The tests left something behind:\n%s\n' "$left" >&2
  exit 1
fi
rm -rf "$HANGAR_TEST_TRACES"
