#!/usr/bin/env bash
# Requests made from the API's own description, good and bad, against a real server: nothing may answer 5xx or in an undocumented way.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server.sh
HANGAR_BIN=${HANGAR_BIN:-$PWD/target/debug/hangar}
[ -d .venv ] || scripts/step.sh "python environment" python3 -m venv .venv
scripts/step.sh "python libraries" .venv/bin/pip install --quiet --requirement scripts/requirements.txt
trap stop_server EXIT
start_server "$(mktemp -d -t hangar-api-XXXXXX)"
"$HANGAR_BIN" repo add "$(demo_source)" --name demo/strsim >/dev/null
"$HANGAR_BIN" run --detach --repo demo/strsim "Say hello" >/dev/null
.venv/bin/schemathesis run "$HANGAR_URL/api/v1/openapi.json" \
  --header "Authorization: Bearer $HANGAR_TOKEN" \
  --exclude-path-regex '/(stream|sign-in|sign-out)$' \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
  --max-examples "${HANGAR_API_EXAMPLES:-25}" --phases examples,coverage,fuzzing --seed 1 --workers 1 --no-color --request-timeout 30
