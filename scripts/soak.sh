#!/usr/bin/env bash
# The long form of the tests of faults. HANGAR_SEED repeats a schedule; HANGAR_SOAK_CUTS and HANGAR_SOAK_SECONDS say how long at least.
set -euo pipefail
cd "$(dirname "$0")/.."
export HANGAR_SEED=${HANGAR_SEED:-$((RANDOM * 32768 + RANDOM))}
export HANGAR_SOAK_CUTS=${HANGAR_SOAK_CUTS:-1000} HANGAR_KILLS=${HANGAR_KILLS:-100}
echo "HANGAR_SEED=$HANGAR_SEED HANGAR_SOAK_CUTS=$HANGAR_SOAK_CUTS HANGAR_SOAK_SECONDS=${HANGAR_SOAK_SECONDS:-0} HANGAR_KILLS=$HANGAR_KILLS"
scripts/step.sh "building the program" cargo build --workspace --locked
for suite in chaos:: steps:: kill:: model_faults::; do
  cargo test -p hangar-testkit --locked --test it "$suite" -- --nocapture
done
