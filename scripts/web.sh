#!/usr/bin/env bash
# Builds the web app into clients/web/dist, from where the program embeds it.
set -euo pipefail
cd "$(dirname "$0")/../clients"
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  ../scripts/step.sh "fetching the web app's libraries" npm ci --no-audit --no-fund
fi
../scripts/step.sh "building the web app" npm run build --workspace web
