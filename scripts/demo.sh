#!/usr/bin/env bash
# From nothing to a merged pull request: installs what is missing, builds, starts hangar on a free port, brings a real repository
# into its forge, runs one session on it, merges what it made, and leaves the server running to look around.
#
#   HANGAR_DEMO_EXIT=1   end after the merge; the last line is `demo: merged URL`
#   HANGAR_BIN=PATH      use this program instead of building one
#   ANTHROPIC_API_KEY, OPENAI_API_KEY, or a [[models]] entry in hangar.toml: a real model works on the wish; else the scripted one
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh

WISH='Add `normalized_hamming` to this crate: the Hamming distance as a share between 0.0 and 1.0, like `normalized_levenshtein`. Add a test and run the test suite.'

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1. Installing and building (the first time takes some minutes)"
scripts/step.sh "system packages" scripts/install.sh build
if [ -z "${HANGAR_BIN:-}" ]; then
  scripts/web.sh
  scripts/step.sh "building hangar" cargo build --release --locked --package hangar
  HANGAR_BIN=$PWD/target/release/hangar
fi
source=$(demo_source)

say "2. Starting hangar"
trap stop_server EXIT
trap 'exit 130' INT TERM
start_server "$(mktemp -d -t hangar-demo-XXXXXX)"
echo "  hangar listens at $HANGAR_URL"
echo "  model: $HANGAR_MODEL"

say "3. A real repository: the published source of the crate strsim, with its tests"
"$HANGAR_BIN" repo add "$source" --name demo/strsim

say "4. A session on it"
"$HANGAR_BIN" run --repo demo/strsim "$WISH"
session=$("$HANGAR_BIN" sessions --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["id"])')

say "5. The pull request"
if ! "$HANGAR_BIN" pr "$session" --json 2>/dev/null | grep -q '"number"'; then
  # A real model may leave this step to people.
  "$HANGAR_BIN" pr "$session" --json >/dev/null
fi
"$HANGAR_BIN" pr "$session" --merge
page=$HANGAR_URL/s/$session/pull-request

if [ "${HANGAR_DEMO_EXIT:-}" = 1 ]; then
  stop_server
  echo "demo: merged $page"
  exit 0
fi
say "Look around"
cat <<TEXT
  The pull request:  $page
  Sign in (once):    $HANGAR_LINK
  From a terminal:   export HANGAR_URL=$HANGAR_URL HANGAR_TOKEN=$HANGAR_TOKEN
                     $HANGAR_BIN sessions

  Ctrl-C ends the server and removes the demo's data.
TEXT
wait "$server_pid"
