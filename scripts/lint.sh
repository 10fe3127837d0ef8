#!/usr/bin/env bash
# Formatting, lints, documentation, dependency licences and duplicates.
set -euo pipefail
cd "$(dirname "$0")/.."
step=scripts/step.sh
$step "formatting" cargo fmt --all --check
$step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
$step "lints of the guest that can lose its guards" cargo clippy --package hangar-guest --all-targets --features mutations --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" $step "documentation" cargo doc --workspace --no-deps --locked --document-private-items
[ -d .venv ] || $step "python environment" python3 -m venv .venv
$step "python libraries" .venv/bin/pip install --quiet --requirement scripts/requirements.txt
$step "licences and duplicates of dependencies" .venv/bin/python scripts/dependencies.py
