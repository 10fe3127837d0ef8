#!/usr/bin/env bash
# step.sh "what" command…: says what is being done and how long it took; keeps the output for when it fails.
set -uo pipefail
what=$1
shift
began=$SECONDS
if [ -n "${CI:-}" ]; then
  echo "── $what"
  "$@" || { code=$?; echo "── $what: failed with status $code" >&2; exit $code; }
  echo "── $what: $((SECONDS - began)) s"
  exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" >"$log" 2>&1 &
job=$!
trap 'kill "$job" 2>/dev/null' INT TERM
if [ -t 1 ]; then
  while kill -0 "$job" 2>/dev/null; do
    last=$(tail -c 400 "$log" | tr '\r' '\n' | grep -v '^ *$' | tail -n 1 | cut -c1-70)
    printf '\r\033[K  · %s (%d s) \033[2m%s\033[0m' "$what" $((SECONDS - began)) "$last"
    sleep 0.5
  done
  printf '\r\033[K'
else
  echo "  · $what"
fi
if wait "$job"; then
  echo "  ✓ $what ($((SECONDS - began)) s)"
else
  code=$?
  cat "$log" >&2
  echo "  ✗ $what: failed with status $code" >&2
  exit $code
fi
