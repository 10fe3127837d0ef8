#!/usr/bin/env bash
# e2e.sh [screens]: Debian's Chromium against a real server with the demo's repository: sign in, prompt, watch, merge; or takes the
# pictures of the docs.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
HANGAR_BIN=${HANGAR_BIN:-$PWD/target/debug/hangar}
trap stop_server EXIT
start_server "$(mktemp -d -t hangar-e2e-XXXXXX)"
"$HANGAR_BIN" repo add "$(demo_source)" --name demo/strsim >/dev/null
cd clients
if [ "${1:-}" = screens ]; then
  npm run screens --workspace e2e
else
  npm run e2e --workspace e2e
fi
