#!/usr/bin/env bash
# The tasks of `hangar eval` themselves: every check fails before the work, passes after what its recording does, and fails after work that is wrong.
set -euo pipefail
cd "$(dirname "$0")/.."
HANGAR_BIN=${HANGAR_BIN:-$PWD/target/debug/hangar}
mapfile -t wrong < <(for recording in evals/*/wrong.json; do basename "$(dirname "$recording")"; done)
echo "As they are:"
"$HANGAR_BIN" eval --untouched --jobs 2
echo "After their recordings:"
"$HANGAR_BIN" eval --recorded --jobs 2
echo "After work that is wrong:"
told=$("$HANGAR_BIN" eval --recorded=wrong --json "${wrong[@]}") && status=0 || status=$?
echo "$told" | python3 -c '
import json, sys
told = json.load(sys.stdin)
verdicts = {row["task"]: row["verdict"] for row in told["tasks"]}
print(verdicts)
assert verdicts == dict.fromkeys(sys.argv[2:], "failed"), "work that is wrong is not told as failed"
assert sys.argv[1] == "11", "the exit status is " + sys.argv[1]
' "$status" "${wrong[@]}"
